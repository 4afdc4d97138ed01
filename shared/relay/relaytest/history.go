package relaytest

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"hookferry/shared/relay"
)

var historyCalls = flag.Int("relaytest.history", 4000, "how many concurrent calls the histories of a store have together")

// TestHistories holds a store to what relay.Store promises of calls that are made
// at once: that their answers are those of some order in which they could have been
// made one after the other, each between its beginning and its end. It records
// histories of conditional puts, claims, limits and runs, while some calls fail with
// effect and some without, and has porcupine look for such an order.
func TestHistories(t *testing.T, open func(testing.TB, *Clock) relay.Store) {
	clock, seed := NewClock(), Seed(t)
	s := FaultyStore(open(t, clock), NewDice(seed), Faults{WriteFails: .04, WriteLies: .08, ReadFails: .02, Stalls: .01}, clock.Now)
	h, err := RecordHistories(t.Context(), s, seed, *historyCalls)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d calls on %d objects, %d of unknown outcome: each object has an order", h.Calls, h.Objects, h.Answers["unknown"])
	for _, answer := range []string{
		"unknown", "createKey: limit reached", "createKey: exists already", "revokeKey: last key with this scope",
		"createEndpoint: limit reached", "createEndpoint: exists already", "updateEndpoint: changed since it was read",
		"putEvent: another's", "claimEvent: changed since it was read", "startRun: another's", "putIdempotency: another's",
		"recordAttempt: another's", "createAccount: exists already",
	} {
		if h.Calls >= 20_000 && h.Answers[answer] == 0 {
			t.Errorf("no call had the answer %q: the histories do not test it", answer)
		}
	}
}

// Histories say what was recorded.
type Histories struct {
	Calls, Objects int
	Answers        map[string]int // how many calls had an answer, by method and answer
}

// An act is one call of a history, and what came of it. The meaning of its fields
// is the object's.
type act struct {
	method   string
	slot     int    // which of the object's things it is about
	name     string // what it would put there
	from, at int64

	answer  answer
	unknown bool // it failed, with effect or without
}

// An answer is what a call returned, in a form that can be compared.
type answer struct {
	err  error // one of package relay's
	name string
	n, v int64
	more string
}

// A subject is an object of a store that several clients work on at once, together
// with what they may be answered.
type subject interface {
	// choose returns a client's next call.
	choose(r *rand.Rand) act
	// do makes a call.
	do(ctx context.Context, s relay.Store, a act) (answer, error)
	// start is the state at first. States are compared with ==.
	start() any
	// step returns the state after a call and the answers that it may have.
	step(state any, a act) (next any, may []answer)
}

const (
	historyClients = 6
	historyLength  = 7 // calls of one client on an object
	historyAtOnce  = 4 // objects
)

// RecordHistories makes about so many calls on a store, several at once, and
// returns an error that has the calls of the first object whose answers no order
// explains. The store may let calls fail: an error that is not one of package
// relay's leaves open whether its call took effect.
func RecordHistories(ctx context.Context, s relay.Store, seed uint64, calls int) (Histories, error) {
	h := Histories{Answers: map[string]int{}}
	var mu sync.Mutex
	var failed error
	objects := (calls + historyClients*historyLength - 1) / (historyClients * historyLength)
	var taken atomic.Int64
	together(historyAtOnce, func(int) {
		for {
			i := int(taken.Add(1)) - 1
			mu.Lock()
			over := i >= objects || failed != nil
			mu.Unlock()
			if over {
				return
			}
			o := newSubject(i)
			ops := record(ctx, s, o, seed, i)
			err := explain(o, ops)
			mu.Lock()
			failed = cmp.Or(failed, err)
			h.Objects++
			h.Calls += len(ops)
			for _, op := range ops {
				h.Answers[op.Output.(act).outcome()]++
			}
			mu.Unlock()
		}
	})
	return h, failed
}

// record lets clients work on an object and returns their calls.
func record(ctx context.Context, s relay.Store, o subject, seed uint64, object int) []porcupine.Operation {
	var tick atomic.Int64
	var mu sync.Mutex
	var ops []porcupine.Operation
	together(historyClients, func(client int) {
		r := rand.New(rand.NewPCG(seed, uint64(object*historyClients+client)))
		for range historyLength {
			a := o.choose(r)
			called := tick.Add(1)
			got, err := o.do(ctx, s, a)
			returned := tick.Add(1)
			if a.answer, a.unknown = got, false; err != nil {
				if a.answer = (answer{err: known(err)}); a.answer.err == nil {
					// It may take effect at any later time, or never, which is the
					// same as after everything else.
					a.unknown, returned = true, math.MaxInt64
				}
			}
			mu.Lock()
			ops = append(ops, porcupine.Operation{ClientId: client, Input: a, Call: called, Output: a, Return: returned})
			mu.Unlock()
		}
	})
	return ops
}

// known returns the error of package relay that err is, or nil.
func known(err error) error {
	for _, e := range []error{relay.ErrNotFound, relay.ErrExists, relay.ErrConflict, relay.ErrLimit, relay.ErrLastKey, relay.ErrRevoked} {
		if errors.Is(err, e) {
			return e
		}
	}
	return nil
}

// explain returns nil if some order of the calls explains their answers.
func explain(o subject, ops []porcupine.Operation) error {
	model := porcupine.Model{
		Init: o.start,
		Step: func(state, _, output any) (bool, any) {
			a := output.(act)
			next, may := o.step(state, a)
			return a.unknown || slices.Contains(may, a.answer), next
		},
	}
	result := porcupine.CheckOperationsTimeout(model, ops, time.Minute)
	if result == porcupine.Ok {
		return nil
	}
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var b strings.Builder
	fmt.Fprintf(&b, "no order explains these calls on %T (%s):", o, result)
	for _, op := range ops {
		a, end := op.Output.(act), fmt.Sprint(op.Return)
		if a.unknown {
			end = "?"
		}
		fmt.Fprintf(&b, "\n  %3d to %3s, client %d: %s", op.Call, end, op.ClientId, a)
	}
	return errors.New(b.String())
}

// outcome sorts calls by what came of them.
func (a act) outcome() string {
	switch {
	case a.unknown:
		return "unknown"
	case a.answer.err != nil:
		return a.method + ": " + a.answer.err.Error()
	case a.name != "" && a.answer.name != "" && a.name != a.answer.name || a.method == "startRun" && a.answer.n != a.at:
		return a.method + ": another's"
	}
	return a.method
}

func (a act) String() string {
	s := fmt.Sprintf("%s slot %d name %q from %d at %d", a.method, a.slot, a.name, a.from, a.at)
	if a.unknown {
		return s + ": unknown"
	}
	if a.answer.err != nil {
		return s + ": " + a.answer.err.Error()
	}
	return fmt.Sprintf("%s: name %q n %d v %d %s", s, a.answer.name, a.answer.n, a.answer.v, a.answer.more)
}
