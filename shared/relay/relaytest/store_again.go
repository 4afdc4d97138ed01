package relaytest

import "hookferry/shared/relay"

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
