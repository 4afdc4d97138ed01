package relaytest

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hookferry/shared/relay"
)

var accountPromises = []storePromise{
	{"an account is found by its name, which is taken once", (*storeTest).accounts},
	{"a key round-trips and is found by its hash", (*storeTest).keys},
	{"keys are listed newest first through all pages", (*storeTest).keyList},
	{"the limit of keys counts live ones and holds under concurrency", (*storeTest).keyLimit},
	{"an expired key does not count towards the limit of keys", (*storeTest).expiredKeys},
	{"revoking a key keeps its first time", (*storeTest).revoke},
	{"the last live key with a scope cannot be revoked", (*storeTest).lastKey},
	{"the last key survives concurrent revocations", (*storeTest).lastKeyTogether},
	{"no key is made under one that is revoked", (*storeTest).ancestors},
	{"a hidden key is found by its hash alone", (*storeTest).hiddenKeys},
	{"an idempotency record stands until it expires", (*storeTest).idempotency},
	{"one of concurrent idempotency records wins", (*storeTest).idempotencyTogether},
	{"keys of another account are not found", (*storeTest).foreignKeys},
	{"a cancelled context is an error", (*storeTest).cancelled},
}

func (s *storeTest) key(account string, i int, scopes ...relay.Scope) relay.Key {
	at := s.clock.Now().Add(time.Duration(i) * time.Millisecond)
	secret := relay.NewAPIKey()
	return relay.Key{
		ID: relay.NewID(relay.KeyPrefix, at), Account: account, Name: odd, Hash: relay.HashSecret(secret),
		Prefix: secret.Reveal()[:12], Scopes: scopes, CreatedAt: at,
	}
}

func (s *storeTest) accounts() {
	var want []string
	for i := range 5 {
		at := s.clock.Now().Add(time.Duration(i) * time.Millisecond)
		a := relay.Account{ID: relay.NewID(relay.AccountPrefix, at), Name: odd + s.a + fmt.Sprint(i), CreatedAt: at}
		covered(s, a)
		s.must(s.CreateAccount(s.ctx, a))
		got, err := s.AccountByName(s.ctx, a.Name)
		s.must(err)
		s.equal("account by name", got, a)
		want = append(want, a.ID)
		other := a
		other.ID = relay.NewID(relay.AccountPrefix, at)
		s.fails("create an account of the same name", s.CreateAccount(s.ctx, other), relay.ErrExists)
	}
	_, err := s.AccountByName(s.ctx, "nobody "+s.a)
	s.fails("account by a name of nobody", err, relay.ErrNotFound)
	eventually(s, "accounts, oldest first", want, func() []string {
		// The store may be shared: others are left out.
		got := all(s, 2, func(p relay.Page) ([]relay.Account, string, error) { return s.Accounts(s.ctx, p) })
		return slices.DeleteFunc(ids(got, func(a relay.Account) string { return a.ID }),
			func(id string) bool { return !slices.Contains(want, id) })
	})

	var won atomic.Int32
	together(8, func(int) {
		a := relay.Account{ID: relay.NewID(relay.AccountPrefix, Start), Name: "together " + s.a, CreatedAt: Start}
		if err := s.CreateAccount(s.ctx, a); err == nil {
			won.Add(1)
		} else {
			s.fails("create an account together with others", err, relay.ErrExists)
		}
	})
	if won.Load() != 1 {
		s.Errorf("%d accounts of one name were created, want 1", won.Load())
	}
}

func (s *storeTest) keys() {
	full := s.key(s.a, 0, relay.Scopes()...)
	full.ExpiresAt = s.clock.Now().Add(time.Hour)
	full.RevokedAt = s.clock.Now().Add(time.Minute)
	for i := range 2 {
		ancestor := s.key(s.a, 7+i)
		s.must(s.CreateKey(s.ctx, ancestor, 10))
		full.Ancestors = append(full.Ancestors, ancestor.ID)
	}
	plain := s.key(s.a, 1)
	plain.Name = ""
	hidden := full
	hidden.Hidden = true
	covered(s, full, hidden)
	for _, k := range []relay.Key{full, plain} {
		s.must(s.CreateKey(s.ctx, k, 10))
		got, err := s.Key(s.ctx, s.a, k.ID)
		s.must(err)
		s.equal("key", got, k)
		eventually(s, "key by hash", k, func() relay.Key {
			got, _ := s.KeyByHash(s.ctx, k.Hash)
			return got
		})
	}
	_, err := s.KeyByHash(s.ctx, relay.HashSecret("no key"))
	s.fails("key by the hash of none", err, relay.ErrNotFound)
	_, err = s.Key(s.ctx, s.a, "key_none")
	s.fails("key that is not there", err, relay.ErrNotFound)
}

func (s *storeTest) keyList() {
	var want []string
	for i := range 25 {
		k := s.key(s.a, i, relay.ScopeRead)
		s.must(s.CreateKey(s.ctx, k, 100))
		want = append(want, k.ID)
	}
	slices.Reverse(want)
	s.must(s.CreateKey(s.ctx, s.key(s.b, 0, relay.ScopeRead), 100))
	_, err := s.RevokeKey(s.ctx, s.a, want[3], s.clock.Now(), "")
	s.must(err)
	list := func(p relay.Page) ([]relay.Key, string, error) { return s.Keys(s.ctx, s.a, p) }
	for _, limit := range []int{1, 7, 25, 100} {
		eventually(s, "keys", want, func() []string {
			return ids(all(s, limit, list), func(k relay.Key) string { return k.ID })
		})
	}
	badCursor(s, "keys", list)
}

func (s *storeTest) keyLimit() {
	const limit = 5
	first := s.key(s.a, 0, relay.ScopeRead)
	s.must(s.CreateKey(s.ctx, first, limit))
	created := s.createTogether(16, func(i int) error { return s.CreateKey(s.ctx, s.key(s.a, i, relay.ScopeRead), limit) })
	if created != limit-1 {
		s.Errorf("%d keys created besides one under a limit of %d", created, limit)
	}
	s.must(s.CreateKey(s.ctx, s.key(s.b, 0, relay.ScopeRead), limit))
	_, err := s.RevokeKey(s.ctx, s.a, first.ID, s.clock.Now(), "")
	s.must(err)
	s.must(s.CreateKey(s.ctx, s.key(s.a, 50, relay.ScopeRead), limit))
	s.fails("create a key at the limit", s.CreateKey(s.ctx, s.key(s.a, 51, relay.ScopeRead), limit), relay.ErrLimit)
}

func (s *storeTest) expiredKeys() {
	const limit = 3
	now := s.clock.Now()
	past, present, future := s.key(s.a, 0, relay.ScopeRead), s.key(s.a, 1), s.key(s.a, 2, relay.ScopeKeys)
	past.ExpiresAt, present.ExpiresAt, future.ExpiresAt = now.Add(-time.Hour), now, now.Add(time.Hour)
	for _, k := range []relay.Key{past, present, future, s.key(s.a, 3), s.key(s.a, 4)} {
		s.must(s.CreateKey(s.ctx, k, limit))
	}
	s.fails("create a key at the limit", s.CreateKey(s.ctx, s.key(s.a, 5), limit), relay.ErrLimit)
	s.clock.Set(future.ExpiresAt)
	s.must(s.CreateKey(s.ctx, s.key(s.a, 6), limit))
	s.fails("create a key at the limit again", s.CreateKey(s.ctx, s.key(s.a, 7), limit), relay.ErrLimit)
}

// createTogether runs create n times, 8 at once, each to end well or with
// ErrLimit, and returns how often it ended well.
func (s *storeTest) createTogether(n int, create func(i int) error) int {
	s.Helper()
	var created atomic.Int32
	together(8, func(w int) {
		for i := w; i < n; i += 8 {
			if err := create(i); err == nil {
				created.Add(1)
			} else {
				s.fails("create near the limit", err, relay.ErrLimit)
			}
		}
	})
	return int(created.Load())
}

func (s *storeTest) revoke() {
	k := s.key(s.a, 0, relay.ScopeRead)
	s.must(s.CreateKey(s.ctx, k, 10))
	first := s.clock.Now().Add(time.Minute)
	for _, at := range []time.Time{first, first.Add(time.Hour)} {
		got, err := s.RevokeKey(s.ctx, s.a, k.ID, at, "")
		s.must(err)
		k.RevokedAt = first
		s.equal("revoked key", got, k)
		got, err = s.Key(s.ctx, s.a, k.ID)
		s.must(err)
		s.equal("key after revocation", got, k)
	}
	eventually(s, "revoked key by hash", k, func() relay.Key {
		got, _ := s.KeyByHash(s.ctx, k.Hash)
		return got
	})
	_, err := s.RevokeKey(s.ctx, s.a, "key_none", first, "")
	s.fails("revoke a key that is not there", err, relay.ErrNotFound)
}

func (s *storeTest) lastKey() {
	now := s.clock.Now()
	keeper, reader := s.key(s.a, 0, relay.ScopeKeys, relay.ScopeRead), s.key(s.a, 1, relay.ScopeRead)
	ended, ending := s.key(s.a, 2, relay.ScopeKeys), s.key(s.a, 3, relay.ScopeKeys)
	ended.ExpiresAt, ending.ExpiresAt = now.Add(-time.Second), now.Add(time.Hour)
	foreign := s.key(s.b, 4, relay.ScopeKeys)
	for _, k := range []relay.Key{keeper, reader, ended, foreign} {
		s.must(s.CreateKey(s.ctx, k, 10))
	}
	_, err := s.RevokeKey(s.ctx, s.a, keeper.ID, now, relay.ScopeKeys)
	s.fails("revoke the last key with its scope", err, relay.ErrLastKey)
	got, err := s.Key(s.ctx, s.a, keeper.ID)
	s.must(err)
	s.equal("the last key after a refused revocation", got, keeper)
	_, err = s.RevokeKey(s.ctx, s.a, reader.ID, now, relay.ScopeKeys)
	s.must(err)
	s.must(s.CreateKey(s.ctx, ending, 10))
	_, err = s.RevokeKey(s.ctx, s.a, keeper.ID, now.Add(2*time.Hour), relay.ScopeKeys)
	s.fails("revoke when the other key has expired", err, relay.ErrLastKey)
	_, err = s.RevokeKey(s.ctx, s.a, keeper.ID, now, relay.ScopeKeys)
	s.fails("revoke when the other key will expire", err, relay.ErrLastKey)
	_, err = s.RevokeKey(s.ctx, s.a, ending.ID, now, relay.ScopeKeys)
	s.must(err)
	lasting := s.key(s.a, 5, relay.ScopeKeys)
	s.must(s.CreateKey(s.ctx, lasting, 10))
	_, err = s.RevokeKey(s.ctx, s.a, keeper.ID, now, relay.ScopeKeys)
	s.must(err)
	_, err = s.RevokeKey(s.ctx, s.a, lasting.ID, now, relay.ScopeKeys)
	s.fails("revoke when the other keys have been revoked", err, relay.ErrLastKey)
	_, err = s.RevokeKey(s.ctx, s.a, lasting.ID, now, "")
	s.must(err)
}

func (s *storeTest) lastKeyTogether() {
	for range 5 {
		account := relay.NewID(relay.AccountPrefix, s.clock.Now())
		var keys []relay.Key
		for i := range 8 {
			k := s.key(account, i, relay.ScopeKeys)
			s.must(s.CreateKey(s.ctx, k, 100))
			keys = append(keys, k)
		}
		var refused atomic.Int32
		together(len(keys), func(i int) {
			if _, err := s.RevokeKey(s.ctx, account, keys[i].ID, s.clock.Now(), relay.ScopeKeys); err != nil {
				s.fails("revoke together with others", err, relay.ErrLastKey)
				refused.Add(1)
			}
		})
		live := 0
		for _, k := range keys {
			got, err := s.Key(s.ctx, account, k.ID)
			s.must(err)
			if got.RevokedAt.IsZero() {
				live++
			}
		}
		if live < 1 || int32(live) != refused.Load() {
			s.Errorf("%d keys are live and %d revocations were refused, want the same number and at least 1", live, refused.Load())
		}
	}
}

func (s *storeTest) idempotencyRecord(i int) relay.Idempotency {
	now := s.clock.Now()
	return relay.Idempotency{
		Account: s.a, Key: relay.HashSecret("key"), Body: relay.HashSecret(relay.Secret(fmt.Sprint("body ", i))),
		EventID: relay.NewID(relay.EventPrefix, now), CreatedAt: now, ExpiresAt: now.Add(24 * time.Hour),
		Route: "POST /api/v1/webhooks", KeyID: "key_1",
	}
}

func (s *storeTest) idempotency() {
	put := func(what string, r relay.Idempotency, want *relay.Idempotency) {
		s.Helper()
		got, err := s.PutIdempotency(s.ctx, r)
		s.must(err)
		s.equal(what, got, want)
	}
	first := s.idempotencyRecord(1)
	covered(s, first)
	put("first record", first, nil)
	put("the same again", first, &first)
	put("another body", s.idempotencyRecord(2), &first)
	foreign := first
	foreign.Account = s.b
	put("the same key of another account", foreign, nil)
	otherKey := first
	otherKey.Key = relay.HashSecret("another")
	put("another key", otherKey, nil)

	s.clock.Set(first.ExpiresAt.Add(-2 * time.Second))
	put("just before it expires", s.idempotencyRecord(3), &first)
	s.clock.Set(first.ExpiresAt.Add(2 * time.Second))
	second := s.idempotencyRecord(4)
	put("after it expired", second, nil)
	put("after it was replaced", s.idempotencyRecord(5), &second)
}

func (s *storeTest) idempotencyTogether() {
	var won atomic.Int32
	events := make([]string, 8)
	together(8, func(i int) {
		r := s.idempotencyRecord(i)
		old, err := s.PutIdempotency(s.ctx, r)
		if err != nil {
			s.Errorf("put idempotency together with others: %v", err)
			return
		}
		if events[i] = r.EventID; old == nil {
			won.Add(1)
		} else {
			events[i] = old.EventID
		}
	})
	if n := len(slices.Compact(slices.Sorted(slices.Values(events)))); won.Load() != 1 || n != 1 {
		s.Errorf("%d of 8 put a record, and they name %d events, want 1 and 1", won.Load(), n)
	}
}

func (s *storeTest) foreignKeys() {
	k := s.key(s.a, 0, relay.ScopeKeys)
	s.must(s.CreateKey(s.ctx, k, 10))
	s.must(s.CreateKey(s.ctx, s.key(s.a, 1, relay.ScopeKeys), 10))
	_, err := s.Key(s.ctx, s.b, k.ID)
	s.fails("key of another account", err, relay.ErrNotFound)
	_, err = s.RevokeKey(s.ctx, s.b, k.ID, s.clock.Now(), "")
	s.fails("revoke a key of another account", err, relay.ErrNotFound)
	got, err := s.Key(s.ctx, s.a, k.ID)
	s.must(err)
	s.equal("key after another account's revocation", got, k)
	if keys := all(s, 10, func(p relay.Page) ([]relay.Key, string, error) { return s.Keys(s.ctx, s.b, p) }); len(keys) > 0 {
		s.Errorf("another account lists %d keys", len(keys))
	}
}

func (s *storeTest) ancestors() {
	root, middle := s.key(s.a, 0, relay.ScopeKeys), s.key(s.a, 1, relay.ScopeKeys)
	middle.Ancestors = []string{root.ID}
	s.must(s.CreateKey(s.ctx, root, 100))
	s.must(s.CreateKey(s.ctx, middle, 100))
	under := func(i int, ancestors ...string) relay.Key {
		k := s.key(s.a, i, relay.ScopeKeys)
		k.Ancestors = ancestors
		return k
	}
	foreign := s.key(s.b, 2, relay.ScopeKeys)
	s.must(s.CreateKey(s.ctx, foreign, 100))
	s.fails("create a key under one of another account", s.CreateKey(s.ctx, under(3, foreign.ID), 100), relay.ErrRevoked)
	s.fails("create a key under one that is not there", s.CreateKey(s.ctx, under(4, "key_none"), 100), relay.ErrRevoked)

	// Together: whatever was made was made before the revocation.
	var wg sync.WaitGroup
	made := make(chan relay.Key, 16)
	for i := range 16 {
		wg.Go(func() {
			k := under(10+i, root.ID, middle.ID)
			if err := s.CreateKey(s.ctx, k, 100); err == nil {
				made <- k
			} else {
				s.fails("create a key while its ancestor is revoked", err, relay.ErrRevoked)
			}
		})
	}
	_, err := s.RevokeKey(s.ctx, s.a, root.ID, s.clock.Now(), "")
	s.must(err)
	wg.Wait()
	close(made)
	for k := range made {
		_, err := s.Key(s.ctx, s.a, k.ID)
		s.must(err)
	}
	s.fails("create a key under a revoked one", s.CreateKey(s.ctx, under(40, root.ID), 100), relay.ErrRevoked)
	s.fails("create a key far under a revoked one", s.CreateKey(s.ctx, under(41, root.ID, middle.ID), 100), relay.ErrRevoked)
}
