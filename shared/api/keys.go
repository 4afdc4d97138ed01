package api

import (
	"errors"
	"fmt"
	"net/http"
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
		ID: relay.NewID(relay.KeyPrefix, c.now), Account: c.account(), CreatedAt: c.now,
		Scopes: []relay.Scope{relay.ScopeManage},
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
	for _, scope := range k.Scopes {
		if !c.key.Allows(scope) {
			return answer{}, &relay.Error{
				Kind:   relay.KindScopeDenied,
				Detail: fmt.Sprintf("A key can give only scopes that it has itself, and this one lacks %s.", scope),
			}
		}
	}
	text := relay.NewAPIKey()
	k.Hash, k.Prefix = relay.HashSecret(text), text.Reveal()[:12]
	err = s.Store.CreateKey(c.ctx(), k, keyLimit)
	if errors.Is(err, relay.ErrLimit) {
		return answer{}, &relay.Error{
			Kind:   relay.KindLimitExceeded,
			Detail: fmt.Sprintf("The account has %d live keys, which is its limit. Delete one first.", keyLimit),
		}
	}
	if err != nil {
		return answer{}, fmt.Errorf("create key: %w", err)
	}
	s.audit(c, "key.create", k.ID, given...)
	w := keyWire(k)
	w.APIKey = text.Reveal()
	return answer{status: http.StatusCreated, body: w}, nil
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

// revokeKey ends a key; ending it again changes nothing.
func (s *server) revokeKey(c *call) (answer, error) {
	id := c.r.PathValue("id")
	if !validID(relay.KeyPrefix, id) {
		return answer{}, notFound("key")
	}
	k, err := s.Store.RevokeKey(c.ctx(), c.account(), id, c.now, relay.ScopeKeys)
	if errors.Is(err, relay.ErrLastKey) {
		return answer{}, &relay.Error{
			Kind:   relay.KindLimitExceeded,
			Detail: "This is the account's last key with keys:manage, and without it nobody could make another. Create one first.",
		}
	}
	if err != nil {
		return answer{}, found(fmt.Errorf("revoke key %s: %w", id, err), "key")
	}
	if k.RevokedAt.Equal(c.now) {
		s.audit(c, "key.delete", k.ID, "revoked_at")
	}
	return ok(keyWire(k))
}

// dead reports whether a key can never be used again.
func dead(k relay.Key, now time.Time) bool { return k.Check(now) != nil }
