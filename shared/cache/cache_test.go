package cache_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hookferry/shared/cache"
	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

const account = "acct_1"

// countingStore counts the questions that reach the store, and can be made to
// hold or fail them.
type countingStore struct {
	relay.Store
	asked atomic.Int64
	hold  chan struct{}
	err   error
	crash func()
}

func (s *countingStore) ask(ctx context.Context) error {
	s.asked.Add(1)
	if s.hold != nil {
		select {
		case <-s.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if s.crash != nil {
		s.crash()
	}
	return s.err
}

func (s *countingStore) KeyByHash(ctx context.Context, h relay.KeyHash) (relay.Key, error) {
	if err := s.ask(ctx); err != nil {
		return relay.Key{}, err
	}
	return s.Store.KeyByHash(ctx, h)
}

func (s *countingStore) IngestSource(ctx context.Context, id string) (relay.Source, error) {
	if err := s.ask(ctx); err != nil {
		return relay.Source{}, err
	}
	return s.Store.IngestSource(ctx, id)
}

func (s *countingStore) LiveEndpoints(ctx context.Context, acct string) ([]relay.Endpoint, error) {
	// What the store says is read before it is held up, as an answer on its way is.
	eps, err := s.Store.LiveEndpoints(ctx, acct)
	if err := s.ask(ctx); err != nil {
		return nil, err
	}
	return eps, err
}

func newCache(t *testing.T) (*cache.Store, *countingStore, *relaytest.Clock) {
	clock := relaytest.NewClock()
	s := &countingStore{Store: relaytest.NewMemory(clock.Now, relaytest.Retention)}
	return cache.Wrap(s, cache.TTL, clock.Now), s, clock
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func endpoint(id string) relay.Endpoint {
	return relay.Endpoint{ID: id, Account: account, Status: relay.Active, EventTypes: []string{"*"}}
}

func live(t *testing.T, s relay.Store) map[string]relay.Endpoint {
	t.Helper()
	eps, err := s.LiveEndpoints(t.Context(), account)
	check(t, err)
	by := map[string]relay.Endpoint{}
	for _, ep := range eps {
		by[ep.ID] = ep
	}
	return by
}

func TestAnAnswerIsKeptForItsTimeAndNoLonger(t *testing.T) {
	c, s, clock := newCache(t)
	check(t, s.CreateEndpoint(t.Context(), endpoint("whend_1"), 10))
	for range 3 {
		if got := live(t, c); len(got) != 1 {
			t.Fatalf("got %v", got)
		}
	}
	clock.Advance(cache.TTL - time.Millisecond)
	check(t, s.CreateEndpoint(t.Context(), endpoint("whend_2"), 10)) // by another process
	if got := live(t, c); len(got) != 1 || s.asked.Load() != 1 {
		t.Errorf("got %d endpoints, asked %d times, want 1 and 1", len(got), s.asked.Load())
	}
	clock.Advance(time.Millisecond)
	if got := live(t, c); len(got) != 2 || s.asked.Load() != 2 {
		t.Errorf("got %d endpoints, asked %d times, want 2 and 2", len(got), s.asked.Load())
	}
}

func TestAWriteIsSeenByTheNextRead(t *testing.T) {
	c, _, clock := newCache(t)
	ctx := t.Context()
	live(t, c)
	ep := endpoint("whend_1")
	check(t, c.CreateEndpoint(ctx, ep, 10))
	if _, ok := live(t, c)["whend_1"]; !ok {
		t.Error("a created endpoint is not seen")
	}
	ep.Version, ep.URL = 1, "https://example.com/2"
	check(t, c.UpdateEndpoint(ctx, ep))
	if got := live(t, c)["whend_1"].URL; got != ep.URL {
		t.Errorf("after an update: %q", got)
	}

	k := relay.Key{ID: "key_1", Account: account, Hash: relay.HashSecret("k"), Scopes: relay.Scopes(), CreatedAt: clock.Now()}
	check(t, c.CreateKey(ctx, k, 10))
	if got, err := c.KeyByHash(ctx, k.Hash); err != nil || !got.RevokedAt.IsZero() {
		t.Errorf("key: %+v, %v", got, err)
	}
	if _, err := c.RevokeKey(ctx, account, k.ID, clock.Now(), ""); err != nil {
		t.Fatal(err)
	}
	if got, err := c.KeyByHash(ctx, k.Hash); err != nil || got.RevokedAt.IsZero() {
		t.Errorf("a revoked key is served as live: %+v, %v", got, err)
	}

	src := relay.Source{ID: "src_1", Account: account, Provider: relay.Rivya, Status: relay.Active}
	check(t, c.CreateSource(ctx, src, 10))
	if _, err := c.IngestSource(ctx, src.ID); err != nil {
		t.Fatal(err)
	}
	src.Version, src.Status = 1, relay.Disabled
	check(t, c.UpdateSource(ctx, src))
	if got, err := c.IngestSource(ctx, src.ID); err != nil || got.Status != relay.Disabled {
		t.Errorf("after an update: %+v, %v", got, err)
	}
	check(t, c.DeleteSource(ctx, account, src.ID))
	if _, err := c.IngestSource(ctx, src.ID); !errors.Is(err, relay.ErrNotFound) {
		t.Errorf("a deleted source: %v", err)
	}
}

func TestNoErrorIsGivenTwice(t *testing.T) {
	c, s, clock := newCache(t)
	h := relay.HashSecret("k")
	if _, err := c.KeyByHash(t.Context(), h); !errors.Is(err, relay.ErrNotFound) {
		t.Fatal(err)
	}
	check(t, s.CreateKey(t.Context(), relay.Key{ID: "key_1", Account: account, Hash: h, CreatedAt: clock.Now()}, 10))
	if _, err := c.KeyByHash(t.Context(), h); err != nil {
		t.Errorf("a key made since: %v", err)
	}
}

func TestCallsAtOnceShareAQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := newCache(t)
		check(t, s.CreateEndpoint(t.Context(), endpoint("whend_1"), 10))
		s.hold = make(chan struct{})
		// Who came first goes away; the others still get their answer.
		first, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() { _, err := c.LiveEndpoints(first, account); gone <- err }()
		synctest.Wait()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if eps, err := c.LiveEndpoints(t.Context(), account); err != nil || len(eps) != 1 {
					t.Errorf("got %v, %v", eps, err)
				}
			})
		}
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("the first: %v", err)
		}
		close(s.hold)
		wg.Wait()
		if got := s.asked.Load(); got != 1 {
			t.Errorf("asked %d times, want 1", got)
		}
	})
}

// A question that was asked before a write does not answer calls after it.
func TestAWriteOvertakesAQuestionOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := newCache(t)
		s.hold = make(chan struct{})
		old := make(chan int, 1)
		go func() {
			eps, _ := c.LiveEndpoints(t.Context(), account)
			old <- len(eps)
		}()
		synctest.Wait()
		check(t, c.CreateEndpoint(t.Context(), endpoint("whend_1"), 10))
		close(s.hold)
		if got := <-old; got != 0 {
			t.Errorf("the early question got %d endpoints", got)
		}
		if got := live(t, c); len(got) != 1 {
			t.Errorf("after the write: got %d endpoints, want 1", len(got))
		}
	})
}

func TestWhatIsReturnedIsTheCallersOwn(t *testing.T) {
	c, s, _ := newCache(t)
	check(t, s.CreateEndpoint(t.Context(), endpoint("whend_1"), 10))
	eps, err := c.LiveEndpoints(t.Context(), account)
	check(t, err)
	eps[0].Status = relay.Disabled
	if got := live(t, c)["whend_1"].Status; got != relay.Active {
		t.Errorf("a caller changed the cache: %s", got)
	}
}

func TestAClockSetBackKeepsNothingForLonger(t *testing.T) {
	now := time.Date(2026, 5, 11, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	s := &countingStore{Store: relaytest.NewMemory(clock, relaytest.Retention)}
	c := cache.Wrap(s, cache.TTL, clock)
	live(t, c)
	now = now.Add(-time.Hour)
	live(t, c)
	if got := s.asked.Load(); got != 2 {
		t.Errorf("asked %d times, want 2", got)
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	c, s, _ := newCache(t)
	const accounts = 5000
	for i := range accounts {
		if _, err := c.LiveEndpoints(t.Context(), fmt.Sprint("acct_", i)); err != nil {
			t.Fatal(err)
		}
	}
	s.asked.Store(0)
	for i := range accounts {
		if _, err := c.LiveEndpoints(t.Context(), fmt.Sprint("acct_", i)); err != nil {
			t.Fatal(err)
		}
	}
	if kept := accounts - s.asked.Load(); kept > 1000 {
		t.Errorf("%d accounts were kept, want at most 1000", kept)
	}
}

func BenchmarkLiveEndpoints(b *testing.B) {
	clock := relaytest.NewClock()
	s := relaytest.NewMemory(clock.Now, relaytest.Retention)
	for i := range 20 {
		if err := s.CreateEndpoint(b.Context(), endpoint(fmt.Sprint("whend_", i)), 100); err != nil {
			b.Fatal(err)
		}
	}
	c := cache.Wrap(s, cache.TTL, clock.Now)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.LiveEndpoints(b.Context(), account); err != nil {
			b.Fatal(err)
		}
	}
}
