package relaytest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"hookferry/shared/relay"
)

// FaultyStore returns a store that does to the calls of s what the faults say:
// first it weakens what it answers, then it lets calls fail. now is the clock of
// s.
func FaultyStore(s relay.Store, dice *Dice, f Faults, now func() time.Time) relay.Store {
	s = &weakStore{Store: s, dice: dice, faults: f, now: now, cached: map[string]cached{}, before: map[[2]string]earlier{}}
	return Intercept(s, func(ctx context.Context, c Call, do func() error) error {
		fault := func() error { return fmt.Errorf("%s %s: %w", c.Op, c.About, ErrFault) }
		switch {
		case dice.Chance(f.Stalls, "stall "+c.Op, c.About):
			return fmt.Errorf("%s %s: %w", c.Op, c.About, context.DeadlineExceeded)
		case !c.Write && dice.Chance(f.ReadFails, "fail "+c.Op, c.About):
			return fault()
		case c.Write && dice.Chance(f.WriteFails, "fail "+c.Op, c.About):
			return fault()
		case c.Write && dice.Chance(f.WriteLies, "lie "+c.Op, c.About):
			// What the call would have answered is lost with it.
			_ = do()
			return fault()
		}
		return do()
	})
}

// weakStore gives up whatever its comments do not promise.
type weakStore struct {
	relay.Store
	dice   *Dice
	faults Faults
	now    func() time.Time

	mu     sync.Mutex
	cached map[string]cached
	before map[[2]string]earlier
}

type cached struct {
	at    time.Time
	value any
	err   error
}

// earlier is an event as it was before a write.
type earlier struct {
	until  time.Time // the write's
	record relay.EventRecord
	err    error
}

// recent answers what was answered within CacheFor.
func recent[T any](w *weakStore, key string, read func() (T, error)) (T, error) {
	w.mu.Lock()
	c, ok := w.cached[key]
	w.mu.Unlock()
	// Calm weather ends staleness too: what rests is read as it is.
	if ok && !w.dice.calm.Load() && w.now().Before(c.at.Add(w.faults.CacheFor)) {
		return c.value.(T), c.err
	}
	at := w.now()
	v, err := read()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cached[key] = cached{at, v, err}
	return v, err
}

func (w *weakStore) LiveEndpoints(ctx context.Context, account string) ([]relay.Endpoint, error) {
	eps, err := recent(w, "endpoints "+account, func() ([]relay.Endpoint, error) { return w.Store.LiveEndpoints(ctx, account) })
	return slices.Clone(eps), err
}

func (w *weakStore) IngestSource(ctx context.Context, id string) (relay.Source, error) {
	return recent(w, "source "+id, func() (relay.Source, error) { return w.Store.IngestSource(ctx, id) })
}

func (w *weakStore) KeyByHash(ctx context.Context, h relay.KeyHash) (relay.Key, error) {
	return recent(w, "key "+string(h[:]), func() (relay.Key, error) { return w.Store.KeyByHash(ctx, h) })
}

// remember keeps an event as it is before a write.
func (w *weakStore) remember(ctx context.Context, account, id string) {
	if w.faults.Stale == 0 {
		return
	}
	r, err := w.Store.Event(ctx, account, id, true)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before[[2]string{account, id}] = earlier{w.now(), r, err}
}

func (w *weakStore) PutEvent(ctx context.Context, r relay.EventRecord) (*relay.EventRecord, error) {
	w.remember(ctx, r.Account, r.Ref().ID)
	return w.Store.PutEvent(ctx, r)
}

func (w *weakStore) ClaimEvent(ctx context.Context, ref relay.EventRef, from, until time.Time) error {
	w.remember(ctx, ref.Account, ref.ID)
	return w.Store.ClaimEvent(ctx, ref, from, until)
}

func (w *weakStore) ConfirmEvent(ctx context.Context, ref relay.EventRef, claimed time.Time, a relay.Answer, body relay.Payload) error {
	w.remember(ctx, ref.Account, ref.ID)
	return w.Store.ConfirmEvent(ctx, ref, claimed, a, body)
}

func (w *weakStore) StartRun(ctx context.Context, account, event, endpoint, token string, at time.Time) (relay.Run, error) {
	w.remember(ctx, account, event)
	return w.Store.StartRun(ctx, account, event, endpoint, token, at)
}

func (w *weakStore) Event(ctx context.Context, account, id string, consistent bool) (relay.EventRecord, error) {
	if !consistent && w.dice.Chance(w.faults.Stale, "stale event", id) {
		w.mu.Lock()
		old, ok := w.before[[2]string{account, id}]
		w.mu.Unlock()
		if ok && w.now().Before(old.until.Add(w.faults.Staleness)) {
			return old.record, old.err
		}
	}
	return w.Store.Event(ctx, account, id, consistent)
}

func (w *weakStore) Events(ctx context.Context, account string, f relay.EventFilter, p relay.Page) ([]relay.EventSummary, string, error) {
	list, next, err := weakPage(w, "events "+account, p, func(p relay.Page) ([]relay.EventSummary, string, error) {
		return w.Store.Events(ctx, account, f, p)
	})
	return missing(w, list, func(e relay.EventSummary) (string, time.Time) { return e.ID, e.CreatedAt }), next, err
}

func (w *weakStore) Attempts(ctx context.Context, endpoint string, f relay.AttemptFilter, p relay.Page) ([]relay.Attempt, string, error) {
	list, next, err := weakPage(w, "attempts "+endpoint, p, func(p relay.Page) ([]relay.Attempt, string, error) {
		return w.Store.Attempts(ctx, endpoint, f, p)
	})
	return missing(w, list, func(a relay.Attempt) (string, time.Time) { return a.ID, a.CreatedAt }), next, err
}

func (w *weakStore) Overdue(ctx context.Context, t time.Time, p relay.Page) ([]relay.Overdue, string, error) {
	return weakPage(w, "overdue", p, func(p relay.Page) ([]relay.Overdue, string, error) { return w.Store.Overdue(ctx, t, p) })
}

func (w *weakStore) Endpoints(ctx context.Context, account string, p relay.Page) ([]relay.Endpoint, string, error) {
	return weakPage(w, "endpoints "+account, p, func(p relay.Page) ([]relay.Endpoint, string, error) { return w.Store.Endpoints(ctx, account, p) })
}

func (w *weakStore) Sources(ctx context.Context, account string, p relay.Page) ([]relay.Source, string, error) {
	return weakPage(w, "sources "+account, p, func(p relay.Page) ([]relay.Source, string, error) { return w.Store.Sources(ctx, account, p) })
}

func (w *weakStore) Expectations(ctx context.Context, source string, p relay.Page) ([]relay.Expectation, string, error) {
	return weakPage(w, "expectations "+source, p, func(p relay.Page) ([]relay.Expectation, string, error) {
		return w.Store.Expectations(ctx, source, p)
	})
}

func (w *weakStore) Keys(ctx context.Context, account string, p relay.Page) ([]relay.Key, string, error) {
	return weakPage(w, "keys "+account, p, func(p relay.Page) ([]relay.Key, string, error) { return w.Store.Keys(ctx, account, p) })
}

func (w *weakStore) Accounts(ctx context.Context, p relay.Page) ([]relay.Account, string, error) {
	return weakPage(w, "accounts", p, func(p relay.Page) ([]relay.Account, string, error) { return w.Store.Accounts(ctx, p) })
}

// emptyMark begins the position that an empty page gives: the page's own.
const emptyMark = "after nothing:"

func weakPage[T any](w *weakStore, list string, p relay.Page, read func(p relay.Page) ([]T, string, error)) ([]T, string, error) {
	p.After = strings.TrimPrefix(p.After, emptyMark)
	if w.dice.Chance(w.faults.EmptyPage, "empty page", list) {
		return nil, emptyMark + p.After, nil
	}
	if p.Limit > 1 && w.dice.Chance(w.faults.ShortPage, "short page", list) {
		p.Limit = 1 + w.dice.Throw("page limit", list).IntN(p.Limit-1)
	}
	return read(p)
}

// missing leaves out some of what is younger than Staleness.
func missing[T any](w *weakStore, items []T, born func(T) (id string, at time.Time)) []T {
	since := w.now().Add(-w.faults.Staleness)
	return slices.DeleteFunc(items, func(v T) bool {
		id, at := born(v)
		return at.After(since) && w.dice.Chance(w.faults.Stale, "missing", id)
	})
}
