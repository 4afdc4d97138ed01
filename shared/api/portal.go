package api

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"hookferry/shared/relay"
)

// How long the key of a portal link lives.
const (
	minPortalLife     = 60
	maxPortalLife     = 86_400
	defaultPortalLife = 900
)

type wirePortalLink struct {
	Object    string `json:"object"`
	URL       string `json:"url,omitempty"`
	Notice    string `json:"notice,omitempty"` // why there is no url where one is looked for
	ExpiresAt moment `json:"expires_at"`
}

// createPortalLink makes a link that opens the console for somebody who has no
// key of their own. The key in it is hidden, can do no more than its maker, never
// manages keys, and stands in the URL's fragment, which no server is sent.
func (s *server) createPortalLink(c *call) (answer, error) {
	o, err := c.object()
	if err != nil {
		return answer{}, err
	}
	life, given := defaultPortalLife, []string{}
	if n := field(o, "expires_in", anInteger(minPortalLife, maxPortalLife)); n != nil {
		life, given = *n, append(given, "expires_in")
	}
	k := relay.Key{Account: c.account(), Name: "portal link", Scopes: []relay.Scope{relay.ScopeManage}, Hidden: true}
	mayGive := []relay.Scope{relay.ScopeManage, relay.ScopeRead, relay.ScopePublish, relay.ScopeSources}
	if scopes := field(o, "scopes", listOf(1, len(mayGive), oneOf(mayGive...))); scopes != nil {
		k.Scopes, given = *scopes, append(given, "scopes")
	}
	if err := o.done(); err != nil {
		return answer{}, err
	}
	if err := c.gives(k.Scopes); err != nil {
		return answer{}, err
	}
	if k.Ancestors, err = c.ancestors(); err != nil {
		return answer{}, err
	}
	m, err := s.making(c, o, c.route(), relay.NewID(relay.KeyPrefix, c.now))
	if err != nil {
		return answer{}, err
	}
	k.ID, k.CreatedAt, k.ExpiresAt = m.id, m.at, m.at.Add(time.Duration(life)*time.Second)
	if end := c.key.ExpiresAt; !end.IsZero() && k.ExpiresAt.After(end) {
		k.ExpiresAt = end
	}
	text := relay.NewAPIKey()
	k.Hash, k.Prefix = relay.HashSecret(text), text.Reveal()[:12]
	w := wirePortalLink{Object: "portal_link", ExpiresAt: moment(k.ExpiresAt)}
	if err = s.putKey(c, k); err != nil {
		// A write that was reported as failed may have taken effect.
		if there, lost := s.Store.KeyByHash(c.ctx(), k.Hash); lost == nil && there.ID == k.ID {
			err = nil
		}
	}
	switch {
	case errors.Is(err, relay.ErrExists):
		// An earlier one of these calls made it, and only that one knew its text.
		w.Notice = "A link is shown once, in the first answer. If that was lost, make another, under a new Idempotency-Key; this one ends by itself."
		return answer{status: http.StatusCreated, body: w}, nil
	case err != nil:
		return answer{}, err
	}
	s.audit(c, "portal_link.create", k.ID, given...)
	w.URL = s.publicURL(c.r) + "/console#key=" + text.Reveal()
	return answer{status: http.StatusCreated, body: w}, nil
}

// gives fails unless the caller's key has all of these scopes, for a key gives no
// more than it has.
func (c *call) gives(scopes []relay.Scope) error {
	for _, scope := range scopes {
		if !c.key.Allows(scope) {
			return &relay.Error{
				Kind:   relay.KindScopeDenied,
				Detail: fmt.Sprintf("A key can give only scopes that it has itself, and this one lacks %s.", scope),
			}
		}
	}
	return nil
}

// ancestors returns what a key that is made with the caller's descends from.
func (c *call) ancestors() ([]string, error) {
	all := append(append([]string{}, c.key.Ancestors...), c.key.ID)
	if len(all) > relay.MaxAncestors {
		return nil, relay.Invalid("", "Keys may be made by keys %d deep, and this key is the last: make the new one with a key further up.", relay.MaxAncestors)
	}
	return all, nil
}
