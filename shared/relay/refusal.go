package relay

import (
	"context"
	"time"
)

// A Refusal is how often calls of a source were refused for one reason within
// one hour: what its owner looks at when a provider says that it calls and no
// event comes. It is counted best effort.
type Refusal struct {
	SourceID string
	Reason   string    // one of the receiver's reasons, such as signature_stale
	Hour     time.Time // when the hour began, in UTC
	Count    int
	LastAt   time.Time // the last of the calls
}

// RefusalStore keeps the refusals of each source for the retention time.
type RefusalStore interface {
	// AddRefusals adds r.Count to what is counted of the source, reason and hour,
	// and sets LastAt. Two concurrent calls both count, and the LastAt of either
	// may stay; a call that is repeated counts twice.
	AddRefusals(ctx context.Context, r Refusal) error
	// Refusals lists a source's refusals by hour, the newest first.
	Refusals(ctx context.Context, source string, p Page) (refusals []Refusal, next string, err error)
}
