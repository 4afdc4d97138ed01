package cache_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"hookferry/shared/cache"
	"hookferry/shared/relay"
)

// failingRevoke revokes what it is told to and then says that it failed.
type failingRevoke struct {
	relay.Store
	err error
}

func (s failingRevoke) RevokeKey(ctx context.Context, account, id string, at time.Time, keep relay.Scope) (relay.Key, error) {
	if _, err := s.Store.RevokeKey(ctx, account, id, at, keep); err != nil {
		return relay.Key{}, err
	}
	return relay.Key{}, s.err
}

func TestAFailedRevocationForgetsNoOtherKey(t *testing.T) {
	for _, c := range []struct {
		name, account, id string
		keep              relay.Scope
		err               error
		asked             int64
	}{
		{"a key that is not there", account, "key_none", "", relay.ErrNotFound, 0},
		{"a key of another account", "acct_2", "key_0", "", relay.ErrNotFound, 0},
		{"the last key with its scope", account, "key_0", relay.ScopeKeys, relay.ErrLastKey, 0},
		{"an answer that was lost", account, "key_0", "", errors.New("lost"), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, s, clock := newCache(t)
			for i := range 3 {
				check(t, s.CreateKey(t.Context(), relay.Key{
					ID: fmt.Sprint("key_", i), Account: fmt.Sprint("acct_", i+1), Hash: relay.HashSecret(relay.Secret(fmt.Sprint(i))),
					Scopes: relay.Scopes(), CreatedAt: clock.Now(),
				}, 10))
			}
			failing := &countingStore{Store: failingRevoke{s.Store, c.err}}
			cached := cache.Wrap(failing, cache.TTL, clock.Now)
			read := func() {
				for i := range 3 {
					k, err := cached.KeyByHash(t.Context(), relay.HashSecret(relay.Secret(fmt.Sprint(i))))
					check(t, err)
					if stored, _ := s.Key(t.Context(), k.Account, k.ID); !stored.RevokedAt.Equal(k.RevokedAt) {
						t.Errorf("key %d: got %v, stored %v", i, k.RevokedAt, stored.RevokedAt)
					}
				}
			}
			read()
			failing.asked.Store(0)
			if _, err := cached.RevokeKey(t.Context(), c.account, c.id, clock.Now(), c.keep); !errors.Is(err, c.err) {
				t.Fatalf("got %v, want %v", err, c.err)
			}
			read()
			if got := failing.asked.Load(); got != c.asked {
				t.Errorf("%d keys were asked for again, want %d", got, c.asked)
			}
		})
	}
}

func TestAQuestionThatPanicsIsAnErrorForAllWhoWait(t *testing.T) {
	for name, crash := range map[string]func(){
		"a text":                  func() { panic("a text") },
		"a fault of the runtime":  func() { _ = os.Args[len(os.Args)] },
		"an end of the goroutine": func() { runtime.Goexit() },
	} {
		t.Run(name, func(t *testing.T) {
			c, s, _ := newCache(t)
			s.crash, s.hold = crash, make(chan struct{})
			questions := []func() error{
				func() error { _, err := c.KeyByHash(t.Context(), relay.HashSecret("k")); return err },
				func() error { _, err := c.IngestSource(t.Context(), "src_1"); return err },
				func() error { _, err := c.LiveEndpoints(t.Context(), account); return err },
			}
			var wg sync.WaitGroup
			for i := range 12 {
				wg.Go(func() {
					if err := questions[i%3](); err == nil || errors.Is(err, relay.ErrNotFound) {
						t.Errorf("question %d: got %v, want an error of its own", i%3, err)
					}
				})
			}
			close(s.hold)
			wg.Wait()
			s.crash = nil
			for i, want := range []error{relay.ErrNotFound, relay.ErrNotFound, nil} {
				if err := questions[i](); !errors.Is(err, want) {
					t.Errorf("question %d afterwards: got %v, want %v", i, err, want)
				}
			}
		})
	}
}
