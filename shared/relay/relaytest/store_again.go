package relaytest

import (
	"time"

	"hookferry/shared/relay"
)

var againPromises = []storePromise{
	{"what is there is not made again under its id", (*storeTest).madeOnce},
}

// madeOnce makes each thing and then another of the same id, as the repeat of a
// call does that meets the call itself.
func (s *storeTest) madeOnce() {
	ep := s.endpoint(s.a, 0)
	s.must(s.CreateEndpoint(s.ctx, ep, 10))
	other := ep
	other.Name = "another"
	s.fails("create an endpoint again", s.CreateEndpoint(s.ctx, other, 10), relay.ErrExists)
	if got, err := s.Endpoint(s.ctx, s.a, ep.ID); err != nil || got.Name != ep.Name {
		s.Errorf("the endpoint is %+v, %v", got, err)
	}
	gone := ep
	gone.RevokedAt = s.clock.Now()
	s.must(s.UpdateEndpoint(s.ctx, gone))
	s.fails("create an endpoint again that was deleted", s.CreateEndpoint(s.ctx, other, 10), relay.ErrExists)
	src := s.source(s.a, 0)
	s.must(s.CreateSource(s.ctx, src, 10))
	otherSource := src
	otherSource.Name = "another"
	s.fails("create a source again", s.CreateSource(s.ctx, otherSource, 10), relay.ErrExists)
	if got, err := s.Source(s.ctx, s.a, src.ID); err != nil || got.Name != src.Name {
		s.Errorf("the source is %+v, %v", got, err)
	}
	k := s.key(s.a, 0, relay.ScopeRead)
	s.must(s.CreateKey(s.ctx, k, 10))
	otherKey := s.key(s.a, 1, relay.ScopeRead)
	otherKey.ID = k.ID
	s.fails("create a key again", s.CreateKey(s.ctx, otherKey, 10), relay.ErrExists)
	if got, err := s.Key(s.ctx, s.a, k.ID); err != nil || got.Hash != k.Hash {
		s.Errorf("the key is %+v, %v", got, err)
	}
	_, err := s.KeyByHash(s.ctx, otherKey.Hash)
	s.fails("the text of the key that was not made", err, relay.ErrNotFound)
	r := s.replay(0)
	s.must(s.CreateReplay(s.ctx, r))
	otherReplay := r
	otherReplay.MaxPerSecond = 99
	s.fails("create a replay again", s.CreateReplay(s.ctx, otherReplay), relay.ErrExists)
	if got, err := s.Replay(s.ctx, s.a, r.ID); err != nil || got.MaxPerSecond != r.MaxPerSecond {
		s.Errorf("the replay is %+v, %v", got, err)
	}
}

func (s *storeTest) hiddenKeys() {
	maker := s.key(s.a, 0, relay.ScopeKeys, relay.ScopeManage)
	s.must(s.CreateKey(s.ctx, maker, 1))
	hidden := func(i int) relay.Key {
		k := s.key(s.a, i, relay.ScopeManage)
		k.Ancestors, k.Hidden, k.ExpiresAt = []string{maker.ID}, true, s.clock.Now().Add(time.Hour)
		return k
	}
	first := hidden(1)
	s.must(s.CreateKey(s.ctx, first, 1)) // it is not counted
	eventually(s, "hidden key by hash", first, func() relay.Key {
		got, _ := s.KeyByHash(s.ctx, first.Hash)
		return got
	})
	_, err := s.Key(s.ctx, s.a, first.ID)
	s.fails("hidden key by its id", err, relay.ErrNotFound)
	_, err = s.RevokeKey(s.ctx, s.a, first.ID, s.clock.Now(), "")
	s.fails("revoke a hidden key", err, relay.ErrNotFound)
	_, err = s.RevokeKey(s.ctx, s.a, maker.ID, s.clock.Now(), relay.ScopeManage)
	s.fails("revoke the last key besides a hidden one", err, relay.ErrLastKey)
	keys := all(s, 10, func(p relay.Page) ([]relay.Key, string, error) { return s.Keys(s.ctx, s.a, p) })
	s.equal("listed keys", ids(keys, func(k relay.Key) string { return k.ID }), []string{maker.ID})
	again := hidden(2)
	again.ID = first.ID
	s.fails("create a hidden key again", s.CreateKey(s.ctx, again, 10), relay.ErrExists)
	under := s.key(s.a, 3, relay.ScopeManage)
	under.Ancestors = []string{first.ID}
	s.fails("create a key under a hidden one", s.CreateKey(s.ctx, under, 10), relay.ErrRevoked)

	_, err = s.RevokeKey(s.ctx, s.a, maker.ID, s.clock.Now(), "")
	s.must(err)
	s.fails("create a hidden key under a revoked one", s.CreateKey(s.ctx, hidden(4), 10), relay.ErrRevoked)
}
