package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
	"hookferry/shared/seal"
)

// racingStore says of its first updates that another write came before them.
type racingStore struct {
	relay.Store
	conflicts int
}

func (s *racingStore) lost() error {
	if s.conflicts == 0 {
		return nil
	}
	s.conflicts--
	return relay.ErrConflict
}

func (s *racingStore) UpdateEndpoint(ctx context.Context, e relay.Endpoint) error {
	if err := s.lost(); err != nil {
		return err
	}
	return s.Store.UpdateEndpoint(ctx, e)
}

func (s *racingStore) UpdateSource(ctx context.Context, src relay.Source) error {
	if err := s.lost(); err != nil {
		return err
	}
	return s.Store.UpdateSource(ctx, src)
}

func TestResealCountsEachOnce(t *testing.T) {
	const account = "acct_1"
	for _, conflicts := range []int{0, 1, 2, 4} {
		t.Run(fmt.Sprint(conflicts, " conflicts"), func(t *testing.T) {
			check := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			old, err := seal.New(map[int][]byte{1: make([]byte, 32)})
			check(err)
			memory := relaytest.NewMemory(time.Now, relaytest.Retention)
			check(memory.CreateAccount(t.Context(), relay.Account{ID: account, Name: "a"}))
			sealed := func(id string) relay.Sealed {
				return old.Seal("secret", seal.Place{Account: account, Object: id, Field: seal.SigningSecret})
			}
			check(memory.CreateEndpoint(t.Context(), relay.Endpoint{ID: "whend_1", Account: account, Secret: sealed("whend_1")}, 10))
			check(memory.CreateSource(t.Context(), relay.Source{ID: "src_1", Account: account, Secret: sealed("src_1")}, 10))
			ring := old.Rotate()
			for _, want := range [][2]int{{2, 0}, {0, 2}} {
				r := resealer{store: &racingStore{memory, conflicts}, ring: ring}
				check(r.run(t.Context()))
				if got := [2]int{r.done, r.current}; got != want {
					t.Errorf("sealed anew and already: got %v, want %v", got, want)
				}
			}
		})
	}
}
