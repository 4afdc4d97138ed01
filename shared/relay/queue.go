package relay

import (
	"context"
	"fmt"
	"time"
)

// Limits of a Queue, those of SQS.
const (
	MaxDelay       = 900 * time.Second
	MaxMessageSize = 1 << 20
	MaxReceives    = 20 // receives after which a message is moved to the dead-letter queue
	MaxBatch       = 10 // messages of one Receive
)

// A Queue is one lane of messages: events or retries. Its implementations are
// SQS and SQLite; it promises only what both keep:
//
//   - A message for which Send reported no error is durable, and is received at
//     least once, not before its delay has passed. It may be received more than
//     once, also at the same time, and in any order.
//   - A received message is hidden from others for its visibility timeout, then
//     it is received again, until it is deleted. A deletion may get lost.
//   - A message received more than MaxReceives times is moved to the lane's
//     dead-letter queue by the queue itself.
//   - Identifiers and receipts mean nothing beyond one receive: a message that
//     is put back from the dead-letter queue has new ones.
//
// It is safe for concurrent use. Errors other than those named are failures of
// the queue and may pass.
type Queue interface {
	// Send makes the messages durable. A nil error means all of them; a
	// *SendError says which ones are not. A delay over MaxDelay is refused for
	// its message alone, a body over MaxMessageSize with ErrTooLarge.
	Send(ctx context.Context, msgs ...Outgoing) error

	// Receive returns up to limit (1 to MaxBatch) messages and hides each for
	// visibility. When there are none it waits up to wait, then returns none.
	Receive(ctx context.Context, limit int, wait, visibility time.Duration) ([]Received, error)

	// Delete ends messages, by their receipts. One that is gone is no error.
	Delete(ctx context.Context, msgs ...Received) error

	// Hide makes a received message visible again after d (0 to 12 h) from now.
	Hide(ctx context.Context, msg Received, d time.Duration) error

	// Bury copies a message to the dead-letter queue, with the reason. The
	// caller then deletes it: a crash between leaves it in both.
	Bury(ctx context.Context, msg Received, reason string) error
}

// DeadLetters is the dead-letter queue of a lane, for the operator.
type DeadLetters interface {
	// Dead returns up to limit dead messages, the oldest first. After is the ID of
	// the last one that the call before returned, and empty for the first call. On
	// SQS it means nothing and the order is any: there a dead message that was
	// returned is hidden from every reader for half a minute, in which it can be
	// put back or dropped.
	Dead(ctx context.Context, after string, limit int) ([]DeadLetter, error)
	// Release shows dead messages again that Dead has returned and that are left
	// as they are.
	Release(ctx context.Context, ds ...DeadLetter) error
	// Redrive puts a dead message back on its lane, then removes it: a crash
	// between leaves it in both, which the dispatcher bears.
	Redrive(ctx context.Context, d DeadLetter) error
	// Drop removes a dead message for good.
	Drop(ctx context.Context, d DeadLetter) error
	// DeadCount returns how many there are, on SQS approximately.
	DeadCount(ctx context.Context) (int, error)
}

// Outgoing is a message to send.
type Outgoing struct {
	Body  []byte // UTF-8, as EncodeMessage gives it
	Delay time.Duration
	// Account is whose message it is, and Group what it is for, an endpoint or the
	// account itself. A queue that is fair takes turns between accounts and then
	// between the groups of each; one that is not may ignore both.
	Account string
	Group   string
}

// Received is a message in hand.
type Received struct {
	ID       string // of this receive; unique within a batch
	Receipt  string
	Body     []byte
	Receives int // how many times it has been received, this one included
	SentAt   time.Time
}

// A DeadLetter is a message on a dead-letter queue.
type DeadLetter struct {
	ID       string
	Receipt  string
	Body     []byte
	Reason   string // empty when the queue moved it after MaxReceives
	Receives int
	DeadAt   time.Time // zero if not known
}

// SendError says which messages of a Send are not on the queue. Those that it
// does not name are.
type SendError struct {
	Failed map[int]error // by index of the message
}

// Error names the number of messages and one cause.
func (e *SendError) Error() string {
	for i, err := range e.Failed {
		return fmt.Sprintf("%d messages not sent, among them number %d: %v", len(e.Failed), i, err)
	}
	return "no message failed"
}

// Unwrap returns the causes.
func (e *SendError) Unwrap() []error {
	errs := make([]error, 0, len(e.Failed))
	for _, err := range e.Failed {
		errs = append(errs, err)
	}
	return errs
}
