package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"hookferry/shared/relay"
)

type wireAccount struct {
	ID        string  `json:"id"`
	Object    string  `json:"object"`
	Name      string  `json:"name"`
	CreatedAt moment  `json:"created_at"`
	Key       wireKey `json:"key"`
}

// createAccount makes an account and its first key, which has every scope that
// the owner of an account can have: from then on the operator manages it as the
// owner would. It is for keys with the scope accounts:manage, which the command
// line alone can make.
func (s *server) createAccount(c *call) (answer, error) {
	o, err := c.object()
	if err != nil {
		return answer{}, err
	}
	name := need(o, "name", anAccountName)
	if err := o.done(); err != nil {
		return answer{}, err
	}
	m, err := s.making(c, o, c.route(), relay.NewID(relay.AccountPrefix, c.now))
	if err != nil {
		return answer{}, err
	}
	acct := relay.Account{ID: m.id, Name: name, CreatedAt: m.at}
	acct, made, err := finish(m,
		func() (relay.Account, error) {
			there, err := s.Store.AccountByName(c.ctx(), name)
			if err == nil && there.ID != m.id {
				err = relay.ErrNotFound
			}
			return there, err
		},
		func() (relay.Account, error) { return acct, s.Store.CreateAccount(c.ctx(), acct) })
	if errors.Is(err, relay.ErrExists) {
		return answer{}, relay.Invalid("name", "There is an account of this name.")
	}
	if err != nil {
		return answer{}, fmt.Errorf("create account: %w", err)
	}
	k, keyed, err := s.firstKey(c, acct, m)
	switch {
	case made:
		s.audit(c, "account.create", acct.ID, "name")
	case keyed: // an earlier one of these calls made the account and no key
		s.audit(c, "key.create", k.ID, "name", "scopes")
	}
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated, body: wireAccount{
		ID: acct.ID, Object: "account", Name: acct.Name, CreatedAt: moment(acct.CreatedAt), Key: k,
	}}, nil
}

// firstKey makes the first key of an account that was just made. Its ID follows
// from the account's, so that a repeat which was cut off between the two makes
// it, and no repeat makes a second.
func (s *server) firstKey(c *call, acct relay.Account, m making) (w wireKey, made bool, err error) {
	text := relay.NewAPIKey()
	k := relay.Key{
		ID: relay.KeyPrefix + strings.TrimPrefix(acct.ID, relay.AccountPrefix), Account: acct.ID, Name: "first key",
		Hash: relay.HashSecret(text), Prefix: text.Reveal()[:12], Scopes: relay.Scopes(), CreatedAt: m.at,
	}
	there, _, err := finish(m,
		func() (relay.Key, error) { return s.Store.Key(c.ctx(), acct.ID, k.ID) },
		func() (relay.Key, error) { return k, s.Store.CreateKey(c.ctx(), k, keyLimit) })
	if err != nil {
		return w, false, fmt.Errorf("create first key of %s: %w", acct.ID, err)
	}
	w = keyWire(there)
	if there.Hash != k.Hash {
		w.Notice = "The text of an API key is shown once, in the first answer. If that was lost, hookferry keys create makes another for this account."
		return w, false, nil
	}
	w.APIKey = text.Reveal()
	return w, true, nil
}

// anAccountName reads a name as the command line takes it.
func anAccountName(param string, raw json.RawMessage) (string, error) {
	name, err := aLine(param, raw)
	if err == nil && strings.TrimSpace(name) != name {
		err = relay.Invalid(param, "%s must not begin or end with a blank.", param)
	}
	return name, err
}
