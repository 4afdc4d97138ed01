package relaytest

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"hookferry/shared/relay"
)

// TestStore holds a store to the promises of relay.Store. open returns a store
// with a retention time of Retention on the clock; it is called once for each
// subtest, and all may share what is behind it, for every subtest makes
// accounts of its own. The subtests run in parallel.
//
// What a comment of relay.Store calls consistent is asked for once; everything
// else is asked for again, on a clock that moves on by seconds, before it is
// found wrong.
func TestStore(t *testing.T, open func(testing.TB, *Clock) relay.Store) {
	for _, group := range [][]storePromise{
		accountPromises, endpointPromises, sourcePromises,
		eventPromises, deliveryPromises, runPromises, listPromises, attemptPromises, replayPromises, agePromises, againPromises, refusalPromises, activityPromises,
	} {
		for _, p := range group {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				clock := NewClock()
				p.test(&storeTest{
					T: t, Store: open(t, clock), ctx: t.Context(), clock: clock,
					a: relay.NewID(relay.AccountPrefix, clock.Now()), b: relay.NewID(relay.AccountPrefix, clock.Now()),
				})
			})
		}
	}
}

type storePromise struct {
	name string
	test func(*storeTest)
}

type storeTest struct {
	*testing.T
	relay.Store
	ctx   context.Context
	clock *Clock
	a, b  string // two accounts
}

// odd is a text that an adapter's encoding may break on.
const odd = "odd \u0000 \ufffe \uffff \u2028 \"'`\\ #/%&<> \r\n\t e\u0301 žluť 🐎 \U0010ffff "

// must fails unless err is nil.
func (s *storeTest) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// fails fails unless err is want.
func (s *storeTest) fails(what string, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("%s: got %v, want %v", what, err, want)
	}
}

var same = cmp.Options{
	cmpopts.EquateEmpty(),
	cmp.Comparer(func(a, b relay.Payload) bool {
		x, errX := a.Bytes()
		y, errY := b.Bytes()
		return errX == nil && errY == nil && string(x) == string(y)
	}),
}

func (s *storeTest) equal(what string, got, want any, opts ...cmp.Option) {
	s.Helper()
	if d := cmp.Diff(want, got, same, cmp.Options(opts)); d != "" {
		s.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// eventually holds a read that need not be consistent to what it must show
// within seconds.
func eventually[T any](s *storeTest, what string, want T, read func() T, opts ...cmp.Option) {
	s.Helper()
	var d string
	for try := range 12 {
		if d = cmp.Diff(want, read(), same, cmp.Options(opts)); d == "" {
			return
		}
		s.clock.Advance(time.Second)
		time.Sleep(time.Duration(try) * 10 * time.Millisecond)
	}
	s.Errorf("%s (-want +got):\n%s", what, d)
}

// all reads a list to its end, with pages of limit.
func all[T any](s *storeTest, limit int, list func(p relay.Page) ([]T, string, error)) []T {
	s.Helper()
	var out []T
	p := relay.Page{Limit: limit}
	for range 10_000 {
		items, next, err := list(p)
		if err != nil {
			s.Fatalf("list after %q: %v", p.After, err)
		}
		if len(items) > limit {
			s.Fatalf("a page of at most %d has %d", limit, len(items))
		}
		out = append(out, items...)
		if next == "" {
			return out
		}
		p.After = next
	}
	s.Fatal("a list that does not end")
	return nil
}

// together runs f n times at once.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

// many runs f for 0 to n-1, some at once.
func many(n int, f func(i int)) {
	together(16, func(w int) {
		for i := w; i < n; i += 16 {
			f(i)
		}
	})
}

// covered fails unless each field of the type is set in one of the records: so
// a field that is added to it must be added to the fixtures, and is then
// missed where an adapter forgets it.
func covered[T any](s *storeTest, records ...T) {
	s.Helper()
	typ := reflect.TypeFor[T]()
	for _, f := range reflect.VisibleFields(typ) {
		set := false
		for _, r := range records {
			set = set || f.Anonymous || !reflect.ValueOf(r).FieldByIndex(f.Index).IsZero()
		}
		if !set {
			s.Errorf("no fixture sets %s.%s", typ, f.Name)
		}
	}
}

func ids[T any](items []T, id func(T) string) []string {
	var out []string
	for _, v := range items {
		out = append(out, id(v))
	}
	return out
}

// badCursor holds a list to refusing a position that it did not give.
func badCursor[T any](s *storeTest, what string, list func(p relay.Page) ([]T, string, error)) {
	s.Helper()
	p := relay.Page{Limit: 10, After: "\x00no position"}
	for range 100 {
		items, next, err := list(p)
		if err == nil && len(items) == 0 && next != "" {
			p.After = next // an empty page, which tells nothing
			continue
		}
		s.fails(what+" after no position", err, relay.ErrCursor)
		return
	}
	s.Errorf("%s after no position: empty pages without end", what)
}
