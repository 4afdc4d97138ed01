package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"hookferry/shared/relay"
)

// createKey makes a key that can do no more than the one that asks. Else
// keys:manage would be every scope by another name, and a key that was given
// out to manage keys alone could, once leaked, publish events.
func (s *server) createKey(c *call) (answer, error) {
	o, err := c.object()
	if err != nil {
		return answer{}, err
	}
	k := relay.Key{
		Account: c.account(),
		Scopes:  []relay.Scope{relay.ScopeManage},
	}
	k.Name = need(o, "name", aLine)
	given := []string{"name", "scopes"}
	if scopes := field(o, "scopes", listOf(1, len(relay.Scopes()), oneOf(relay.Scopes()...))); scopes != nil {
		k.Scopes = *scopes
	}
	if at := field(o, "expires_at", orNull(anInstant)); at != nil && !at.IsZero() {
		if !at.After(c.now) {
			o.fail(relay.Invalid("expires_at", "expires_at must be in the future."))
		}
		k.ExpiresAt, given = *at, append(given, "expires_at")
	}
	if err := o.done(); err != nil {
		return answer{}, err
	}
	if err := c.gives(k.Scopes); err != nil {
		return answer{}, err
	}
	// It never outlives its maker, and is revoked with it if that is asked for.
	if end := c.key.ExpiresAt; !end.IsZero() && (k.ExpiresAt.IsZero() || k.ExpiresAt.After(end)) {
		k.ExpiresAt = end
	}
	if k.Ancestors, err = c.ancestors(); err != nil {
		return answer{}, err
	}
	m, err := s.making(c, o, c.route(), relay.NewID(relay.KeyPrefix, c.now))
	if err != nil {
		return answer{}, err
	}
	k.ID, k.CreatedAt = m.id, m.at
	text := relay.NewAPIKey()
	k.Hash, k.Prefix = relay.HashSecret(text), text.Reveal()[:12]
	there, _, err := finish(m,
		func() (relay.Key, error) { return s.Store.Key(c.ctx(), c.account(), m.id) },
		func() (relay.Key, error) { return k, s.putKey(c, k) })
	if err != nil {
		return answer{}, err
	}
	w := keyWire(there)
	if there.Hash != k.Hash {
		w.Notice = "The text of an API key is shown once, in the first answer. If that was lost, revoke this key and make another, under a new Idempotency-Key."
		return answer{status: http.StatusCreated, body: w}, nil
	}
	s.audit(c, "key.create", k.ID, given...)
	w.APIKey = text.Reveal()
	return answer{status: http.StatusCreated, body: w}, nil
}

func (s *server) putKey(c *call, k relay.Key) error {
	err := s.Store.CreateKey(c.ctx(), k, keyLimit)
	if errors.Is(err, relay.ErrLimit) {
		return &relay.Error{
			Kind:   relay.KindLimitExceeded,
			Detail: fmt.Sprintf("The account has %d live keys, which is its limit. Delete one first.", keyLimit),
		}
	}
	if errors.Is(err, relay.ErrRevoked) {
		return &relay.Error{Kind: relay.KindKeyRevoked, Detail: "This API key, or one that it descends from, has been revoked."}
	}
	if err != nil {
		return fmt.Errorf("create key: %w", err)
	}
	return nil
}

func (s *server) listKeys(c *call) (answer, error) {
	binding := c.filters().binding("api-keys")
	p, err := s.page(c, binding)
	if err != nil {
		return answer{}, err
	}
	keys, next, err := s.Store.Keys(c.ctx(), c.account(), p)
	if err != nil {
		return answer{}, fmt.Errorf("list keys: %w", err)
	}
	return s.listed(binding, each(keys, keyWire), next)
}

// currentKey answers the key that the call itself was made with, whatever its
// scopes: so a client that was handed one learns what it may do, and until when.
func (s *server) currentKey(c *call) (answer, error) { return ok(keyWire(c.key)) }

func (s *server) readKey(c *call) (answer, error) {
	id := c.r.PathValue("id")
	if !validID(relay.KeyPrefix, id) {
		return answer{}, notFound("key")
	}
	k, err := s.Store.Key(c.ctx(), c.account(), id)
	if err != nil {
		return answer{}, found(fmt.Errorf("read key %s: %w", id, err), "key")
	}
	return ok(keyWire(k))
}

// revokeKey ends a key, and with ?cascade=true every key that descends from it,
// the key itself first: from then on none is made under it. Repeating the call
// changes nothing but what it had not come to.
func (s *server) revokeKey(c *call) (answer, error) {
	id := c.r.PathValue("id")
	if !validID(relay.KeyPrefix, id) {
		return answer{}, notFound("key")
	}
	f := c.filters()
	cascade := f.flag("cascade")
	if f.err != nil {
		return answer{}, f.err
	}
	if slices.Contains(c.key.Ancestors, id) {
		return answer{}, &relay.Error{Kind: relay.KindScopeDenied, Detail: "A key cannot revoke one that it descends from."}
	}
	all := cascade != nil && *cascade
	if all {
		if err := s.keepsAKey(c, id); err != nil {
			return answer{}, err
		}
	}
	k, err := s.revoke(c, id)
	if err != nil {
		return answer{}, err
	}
	if all {
		// A key that was being made while this one was revoked is seen now, or was
		// not made.
		under, err := s.descendants(c, id)
		if err != nil {
			return answer{}, err
		}
		for _, d := range under {
			if _, err := s.revoke(c, d.ID); err != nil {
				return answer{}, err
			}
		}
	}
	return ok(keyWire(k))
}

func (s *server) revoke(c *call, id string) (relay.Key, error) {
	k, err := s.Store.RevokeKey(c.ctx(), c.account(), id, c.now, relay.ScopeKeys)
	if errors.Is(err, relay.ErrLastKey) {
		return k, lastKey()
	}
	if err != nil {
		return k, found(fmt.Errorf("revoke key %s: %w", id, err), "key")
	}
	if k.RevokedAt.Equal(c.now) {
		s.audit(c, "key.delete", k.ID, "revoked_at")
	}
	return k, nil
}

func lastKey() *relay.Error {
	return &relay.Error{
		Kind:   relay.KindLimitExceeded,
		Detail: "This is the account's last key with keys:manage that does not expire, and without it nobody could make another. Create one first.",
	}
}

// descendants returns the keys of the account that descend from one.
func (s *server) descendants(c *call, id string) (under []relay.Key, err error) {
	for p := (relay.Page{Limit: 100}); ; {
		keys, next, err := s.Store.Keys(c.ctx(), c.account(), p)
		if err != nil {
			return nil, fmt.Errorf("list keys: %w", err)
		}
		for _, k := range keys {
			if k.RevokedAt.IsZero() && slices.Contains(k.Ancestors, id) {
				under = append(under, k)
			}
		}
		if p.After = next; next == "" {
			return under, nil
		}
	}
}

// keepsAKey fails if nobody could make a key any more once this one and all that
// descend from it are revoked, so that a cascade ends nothing rather than half.
// Two cascades at once may both pass it: the store then keeps the last key, and
// the cascade that met it stops half done and can be repeated.
func (s *server) keepsAKey(c *call, id string) error {
	for p := (relay.Page{Limit: 100}); ; {
		keys, next, err := s.Store.Keys(c.ctx(), c.account(), p)
		if err != nil {
			return fmt.Errorf("list keys: %w", err)
		}
		for _, k := range keys {
			if k.ID != id && !slices.Contains(k.Ancestors, id) && k.ExpiresAt.IsZero() && k.Check(c.now) == nil && k.Allows(relay.ScopeKeys) {
				return nil
			}
		}
		if p.After = next; next == "" {
			return lastKey()
		}
	}
}

// dead reports whether a key can never be used again.
func dead(k relay.Key, now time.Time) bool { return k.Check(now) != nil }
