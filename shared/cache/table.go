package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// loadLimit bounds one question to the store: it is asked for all who wait, so
// it does not end with the one who came first.
const loadLimit = 10 * time.Second

// A table keeps answers by key.
type table[K comparable, V any] struct {
	ttl time.Duration
	max int
	now func() time.Time

	mu      sync.Mutex
	entries map[K]*entry[V]
}

// An entry is an answer, or a question that is being asked: then done is open.
type entry[V any] struct {
	done  chan struct{}
	asked time.Time
	value V
	err   error
}

func newTable[K comparable, V any](ttl time.Duration, limit int, now func() time.Time) *table[K, V] {
	return &table[K, V]{ttl: ttl, max: limit, now: now, entries: map[K]*entry[V]{}}
}

// value returns what load says about k, now or up to ttl ago, counted from when
// it was asked.
func (t *table[K, V]) value(ctx context.Context, k K, load func(context.Context, K) (V, error)) (V, error) {
	t.mu.Lock()
	e, ok := t.entries[k]
	if now := t.now(); !ok || t.stale(e, now) {
		if !ok {
			t.makeRoom(now)
		}
		e = &entry[V]{done: make(chan struct{}), asked: now}
		t.entries[k] = e
		go t.load(context.WithoutCancel(ctx), k, e, load)
	}
	t.mu.Unlock()

	select {
	case <-e.done:
		return e.value, e.err
	default:
	}
	select {
	case <-e.done:
		return e.value, e.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

// load asks for all who wait. When the question panics or ends its goroutine,
// they get an error: nobody above could recover, and the process would end.
func (t *table[K, V]) load(ctx context.Context, k K, e *entry[V], load func(context.Context, K) (V, error)) {
	ctx, cancel := context.WithTimeout(ctx, loadLimit)
	defer cancel()
	e.err = errors.New("the question to the store ended without an answer")
	defer func() {
		if cause := recover(); cause != nil {
			e.err = fmt.Errorf("the question to the store panicked: %v\n%s", cause, debug.Stack())
		}
		if e.err != nil {
			t.mu.Lock()
			// Another entry may be there already: this one was dropped.
			if t.entries[k] == e {
				delete(t.entries, k)
			}
			t.mu.Unlock()
		}
		close(e.done)
	}()
	e.value, e.err = load(ctx, k)
}

// stale reports whether an entry is too old, or made in the future of a clock
// that has been set back.
func (t *table[K, V]) stale(e *entry[V], now time.Time) bool {
	age := now.Sub(e.asked)
	return age >= t.ttl || age < 0
}

// makeRoom removes what is stale when the table is full, and any other entry if
// that was nothing. Who waits for an entry that is removed still gets its answer.
func (t *table[K, V]) makeRoom(now time.Time) {
	if len(t.entries) < t.max {
		return
	}
	for k, e := range t.entries {
		if t.stale(e, now) {
			delete(t.entries, k)
		}
	}
	for k := range t.entries {
		if len(t.entries) < t.max {
			return
		}
		delete(t.entries, k)
	}
}

// drop forgets an answer. A question that is being asked is forgotten too: it
// may have been answered before the write that is the reason.
func (t *table[K, V]) drop(k K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.entries, k)
}

// dropWhere forgets the answers that gone is true of, and every question that
// is being asked, since it may be answered with one of them.
func (t *table[K, V]) dropWhere(gone func(V) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, e := range t.entries {
		select {
		case <-e.done:
			if gone(e.value) {
				delete(t.entries, k)
			}
		default:
			delete(t.entries, k)
		}
	}
}
