package relay

import "context"

// Usage is how much of an account's events a store keeps.
type Usage struct {
	Events int64
	Bytes  int64 // of their bodies, as they are stored
}

// Within reports whether there is room for more under a limit, of which a zero
// field limits nothing.
func (u Usage) Within(limit Usage) bool {
	return (limit.Events == 0 || u.Events < limit.Events) && (limit.Bytes == 0 || u.Bytes < limit.Bytes)
}

// Times returns the usage n times over.
func (u Usage) Times(n int64) Usage { return Usage{u.Events * n, u.Bytes * n} }

// UsageStore is what a store that counts what it keeps does besides. One that
// accepts an event with a single write, as on AWS, does not: there an alarm
// stands for the bound.
type UsageStore interface {
	// Usage returns what is kept of an account. It may be some seconds old.
	Usage(ctx context.Context, account string) (Usage, error)
}
