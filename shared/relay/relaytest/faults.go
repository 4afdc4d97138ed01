package relaytest

import (
	"errors"
	"time"
)

// ErrFault is the error of everything that a decorator lets fail.
var ErrFault = errors.New("throttled")

// Faults are the probabilities, 0 to 1, of what can go wrong with one call. The
// zero value lets nothing go wrong.
type Faults struct {
	// Of a store.

	WriteFails float64 // an error, and the write did not take effect
	WriteLies  float64 // an error, and the write took effect
	ReadFails  float64
	Stalls     float64 // the call ends as if its context's deadline had passed, without effect

	Stale     float64       // a read that need not be consistent misses what is younger than Staleness
	Staleness time.Duration // 1 s is what the port allows
	CacheFor  time.Duration // how long LiveEndpoints, IngestSource and KeyByHash answer what they did: 5 s is allowed
	ShortPage float64       // fewer items than the page's limit, and a next one
	EmptyPage float64       // none, and a next one

	// Of a queue.

	SendFails   float64 // an error, and nothing was sent
	SendLies    float64 // an error, and all was sent
	SendPartly  float64 // a SendError that is right
	Duplicate   float64 // there are two copies of a message, maybe in the same batch
	Late        float64 // a visible message is kept back, so that others overtake it
	DeleteFails float64
	DeleteLost  float64 // no error, and the message comes again
	HideFails   float64
	HideLost    float64 // no error, and the message comes when it would have
}

// Rough are faults of every kind, more often than in any weather.
func Rough() Faults {
	return Faults{
		WriteFails: .05, WriteLies: .05, ReadFails: .03, Stalls: .01,
		Stale: .5, Staleness: time.Second, CacheFor: 5 * time.Second, ShortPage: .2, EmptyPage: .1,
		SendFails: .05, SendLies: .05, SendPartly: .05, Duplicate: .1, Late: .1,
		DeleteFails: .03, DeleteLost: .05, HideFails: .05, HideLost: .05,
	}
}

// Weak are the weaknesses that the ports allow without an error: stale and short
// reads, duplicates, reordering, losses of deletes.
func Weak() Faults {
	f := Rough()
	f.WriteFails, f.WriteLies, f.ReadFails, f.Stalls = 0, 0, 0, 0
	f.SendFails, f.SendLies, f.SendPartly, f.DeleteFails, f.HideFails = 0, 0, 0, 0, 0
	return f
}
