package api

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/seal"
	"hookferry/shared/signature"
)

// sourceFields are the fields of a source that a client sets; nil: not given.
type sourceFields struct {
	Name    *string
	Status  *relay.Status
	Secret  *string // all but sivi
	Overlap *int    // of Secret
	APIKey  *string // sivi; empty: none
	API     *string // sivi
	Confirm *relay.Confirm
	Preset  *string // hmac
	Recipe  *json.RawMessage
	Keys    *[]string // public keys
}

func takeSourceFields(o *object) sourceFields {
	return sourceFields{
		Status:  field(o, "status", oneOf(relay.Active, relay.Disabled)),
		Secret:  field(o, "signing_secret", ascii(signature.MinRivyaSecret, maxSourceSecret, 0x20)),
		APIKey:  field(o, "sivi_api_key", orNull(ascii(1, 512, 0x21))),
		API:     field(o, "sivi_api", oneOf("general", "enterprise")),
		Confirm: field(o, "confirm", oneOf(relay.ConfirmOff, relay.ConfirmPrefer, relay.ConfirmRequire)),
		Preset:  field(o, "preset", aString),
		Recipe:  field(o, "recipe", anObject),
		Keys:    field(o, "public_keys", listOf(0, relay.MaxPublicKeys, ascii(1, 128, 0x21))),
	}
}

// check judges the fields for a source of this provider.
func (f sourceFields) check(p relay.Provider) error {
	for _, x := range []struct {
		name  string
		given bool
		of    []relay.Provider
	}{
		{"signing_secret", f.Secret != nil, []relay.Provider{relay.Rivya, relay.Standard, relay.HMAC}},
		{"overlap_seconds", f.Overlap != nil, []relay.Provider{relay.Rivya, relay.Standard, relay.HMAC}},
		{"sivi_api_key", f.APIKey != nil, []relay.Provider{relay.Sivi}},
		{"sivi_api", f.API != nil, []relay.Provider{relay.Sivi}},
		{"confirm", f.Confirm != nil, []relay.Provider{relay.Sivi}},
		{"preset", f.Preset != nil, []relay.Provider{relay.HMAC}},
		{"recipe", f.Recipe != nil, []relay.Provider{relay.Standard, relay.HMAC}},
		{"public_keys", f.Keys != nil, []relay.Provider{relay.Standard, relay.HMAC}},
	} {
		if x.given && !slices.Contains(x.of, p) {
			return relay.Invalid(x.name, "%s is for sources of %s; this one is of %s.", x.name, wordList(x.of), p)
		}
	}
	if p == relay.Rivya && f.Secret != nil && len(*f.Secret) > signature.MaxRivyaSecret {
		return relay.Invalid("signing_secret", "signing_secret must be %d to %d printable ASCII characters.", signature.MinRivyaSecret, signature.MaxRivyaSecret)
	}
	if f.Overlap != nil && f.Secret == nil {
		return relay.Invalid("overlap_seconds", "overlap_seconds says how long the old secret stays good, so it needs a new signing_secret.")
	}
	return nil
}

func (s *server) place(src relay.Source, field string) seal.Place {
	return seal.Place{Account: src.Account, Object: src.ID, Field: field}
}

// applySource sets the fields and returns the names of those that change. A
// secret that the source has already is no change, so that repeating a call, or
// a write that took effect though it was reported as a conflict, does not push
// out the one before it.
func (s *server) applySource(src *relay.Source, f sourceFields, now time.Time) (changed []string, err error) {
	set := func(name string, differs bool, apply func()) {
		if differs {
			apply()
			changed = append(changed, name)
		}
	}
	set("name", f.Name != nil && *f.Name != src.Name, func() { src.Name = *f.Name })
	set("status", f.Status != nil && *f.Status != src.Status, func() { src.Status = *f.Status })
	set("sivi_api", f.API != nil && *f.API != src.API, func() { src.API = *f.API })
	set("confirm", f.Confirm != nil && *f.Confirm != src.Confirm, func() { src.Confirm = *f.Confirm })
	if f.APIKey != nil {
		place := s.place(*src, seal.SiviAPIKey)
		have, err := s.Keys.Open(src.APIKey, place)
		if err != nil {
			return nil, err
		}
		set("sivi_api_key", have.Reveal() != *f.APIKey, func() { src.APIKey = s.Keys.Seal(relay.Secret(*f.APIKey), place) })
	}
	if src.Provider == relay.Sivi && src.Confirm != relay.ConfirmOff && src.APIKey == "" {
		return nil, confirmNeedsKey()
	}
	if byRecipe(src.Provider) {
		more, err := s.applyRecipe(src, f)
		if err != nil {
			return nil, err
		}
		changed = append(changed, more...)
	}
	if f.Secret == nil {
		return changed, nil
	}
	place := s.place(*src, seal.SigningSecret)
	have, err := s.Keys.Open(src.Secret, place)
	if err != nil {
		return nil, err
	}
	if have.Reveal() == *f.Secret {
		return changed, nil
	}
	overlap := overlapOf(f.Overlap)
	src.OldSecret, src.OldSecretUntil, err = s.reseal(src.Secret, place, seal.OldSigningSecret, now.Add(overlap), overlap)
	src.Secret = s.Keys.Seal(relay.Secret(*f.Secret), place)
	return append(changed, "signing_secret"), err
}

func (s *server) createSource(c *call) (answer, error) {
	o, err := c.object()
	if err != nil {
		return answer{}, err
	}
	src := relay.Source{
		Account: c.account(), Status: relay.Active,
		Provider: need(o, "provider", oneOf(relay.Rivya, relay.Sivi, relay.Standard, relay.HMAC)),
	}
	f := takeSourceFields(o)
	f.Name = new(need(o, "name", aLine))
	if err := o.done(); err != nil {
		return answer{}, err
	}
	if err := f.check(src.Provider); err != nil {
		return answer{}, err
	}
	if src.Provider == relay.Sivi && f.Confirm != nil && *f.Confirm != relay.ConfirmOff && (f.APIKey == nil || *f.APIKey == "") {
		return answer{}, confirmNeedsKey()
	}
	if trial := src; byRecipe(src.Provider) {
		// Before anything is recorded under an Idempotency-Key.
		if _, err := s.applyRecipe(&trial, f); err != nil {
			return answer{}, err
		}
	}
	m, err := s.making(c, o, c.route(), relay.NewID(relay.SourcePrefix, c.now))
	if err != nil {
		return answer{}, err
	}
	src.ID, src.CreatedAt, src.UpdatedAt = m.id, m.at, m.at
	fields := []string{"provider"}
	if src.Provider == relay.Sivi {
		src.API, src.Confirm = "general", relay.ConfirmOff
		s.newToken(&src)
	}
	changed, err := s.applySource(&src, f, c.now)
	if err != nil {
		return answer{}, err
	}
	src, made, err := finish(m,
		func() (relay.Source, error) { return s.Store.Source(c.ctx(), c.account(), m.id) },
		func() (relay.Source, error) { return src, s.putSource(c, src) })
	if err != nil {
		return answer{}, err
	}
	if made {
		s.audit(c, "source.create", src.ID, append(fields, changed...)...)
	}
	return s.answerSource(c, http.StatusCreated, src)
}

func (s *server) putSource(c *call, src relay.Source) error {
	err := s.Store.CreateSource(c.ctx(), src, sourceLimit)
	if errors.Is(err, relay.ErrLimit) {
		return &relay.Error{
			Kind:   relay.KindLimitExceeded,
			Detail: fmt.Sprintf("The account has %d sources, which is its limit. Delete one first.", sourceLimit),
		}
	}
	if err != nil {
		return fmt.Errorf("create source: %w", err)
	}
	return nil
}

func confirmNeedsKey() *relay.Error {
	return relay.Invalid("confirm", "confirm asks Sivi, which needs a sivi_api_key.")
}

// newToken gives the source a fresh token of 32 random bytes.
func (s *server) newToken(src *relay.Source) {
	var raw [32]byte
	rand.Read(raw[:])
	token := relay.Secret(base64.RawURLEncoding.EncodeToString(raw[:]))
	src.TokenHash = relay.HashSecret(token)
	src.Token = s.Keys.Seal(token, s.place(*src, seal.Token))
}

func (s *server) listSources(c *call) (answer, error) {
	binding := c.filters().binding("sources")
	p, err := s.page(c, binding)
	if err != nil {
		return answer{}, err
	}
	sources, next, err := s.Store.Sources(c.ctx(), c.account(), p)
	if err != nil {
		return answer{}, fmt.Errorf("list sources: %w", err)
	}
	ws := make([]wireSource, len(sources))
	for i, src := range sources {
		if ws[i], err = s.sourceWire(c, src); err != nil {
			return answer{}, err
		}
	}
	return s.listed(binding, ws, next)
}

// source returns the source of the path, consistently.
func (s *server) source(c *call) (relay.Source, error) {
	id := c.r.PathValue("id")
	if !validID(relay.SourcePrefix, id) {
		return relay.Source{}, notFound("source")
	}
	src, err := s.Store.Source(c.ctx(), c.account(), id)
	if err != nil {
		return src, found(fmt.Errorf("read source %s: %w", id, err), "source")
	}
	return src, nil
}

func (s *server) readSource(c *call) (answer, error) {
	src, err := s.source(c)
	if err != nil {
		return answer{}, err
	}
	return s.answerSource(c, http.StatusOK, src)
}

// changeSource is changeEndpoint for the source of the path.
func (s *server) changeSource(c *call, change func(*relay.Source) ([]string, error)) (relay.Source, []string, error) {
	for try := range casTries {
		src, err := s.source(c)
		if err != nil {
			return src, nil, err
		}
		fields, err := change(&src)
		if err != nil || len(fields) == 0 {
			return src, nil, err
		}
		src.UpdatedAt = c.now
		if err = s.Store.UpdateSource(c.ctx(), src); err == nil {
			return src, fields, nil
		}
		if !errors.Is(err, relay.ErrConflict) {
			return src, nil, found(fmt.Errorf("write source %s: %w", src.ID, err), "source")
		}
		if err := s.settle(c, try); err != nil {
			return src, nil, err
		}
	}
	return relay.Source{}, nil, fmt.Errorf("write source: %w, %d times", relay.ErrConflict, casTries)
}

func (s *server) patchSource(c *call) (answer, error) {
	o, err := c.object()
	if err != nil {
		return answer{}, err
	}
	f := takeSourceFields(o)
	f.Name = field(o, "name", aLine)
	f.Overlap = field(o, "overlap_seconds", overlapSeconds)
	o.refuse("provider", "provider cannot be changed. Create another source.")
	if err := o.done(); err != nil {
		return answer{}, err
	}
	src, err := s.source(c)
	if err != nil {
		return answer{}, err
	}
	if err := f.check(src.Provider); err != nil {
		return answer{}, err
	}
	src, fields, err := s.changeSource(c, func(src *relay.Source) ([]string, error) {
		return s.applySource(src, f, c.now)
	})
	if err != nil {
		return answer{}, err
	}
	if len(fields) > 0 {
		s.audit(c, "source.update", src.ID, fields...)
	}
	return s.answerSource(c, http.StatusOK, src)
}

type wireDeleted struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Deleted bool   `json:"deleted"`
}

// deleteSource removes a source for good; a second call finds nothing, as for
// any unknown one.
func (s *server) deleteSource(c *call) (answer, error) {
	src, err := s.source(c)
	if err != nil {
		return answer{}, err
	}
	if err := s.Store.DeleteSource(c.ctx(), c.account(), src.ID); err != nil {
		return answer{}, found(fmt.Errorf("delete source %s: %w", src.ID, err), "source")
	}
	s.audit(c, "source.delete", src.ID)
	return ok(wireDeleted{src.ID, "webhook_source", true})
}

func (s *server) rotateToken(c *call) (answer, error) {
	overlap, err := c.overlap()
	if err != nil {
		return answer{}, err
	}
	fresh, err := s.source(c)
	if err != nil {
		return answer{}, err
	}
	if fresh.Provider != relay.Sivi {
		return answer{}, relay.Invalid("", "A source of %s has no token; its calls are signed.", fresh.Provider)
	}
	s.newToken(&fresh)
	src, _, err := s.changeSource(c, func(src *relay.Source) ([]string, error) {
		if src.TokenHash == fresh.TokenHash {
			return nil, nil // written by a try that was reported as a conflict
		}
		src.OldTokenHash, src.OldTokenUntil = relay.KeyHash{}, time.Time{}
		if overlap > 0 {
			src.OldTokenHash, src.OldTokenUntil = src.TokenHash, c.now.Add(overlap)
		}
		src.TokenHash, src.Token = fresh.TokenHash, fresh.Token
		return []string{"token"}, nil
	})
	if err != nil {
		return answer{}, err
	}
	s.audit(c, "source.rotate_token", src.ID, "token", "overlap_seconds")
	return s.answerSource(c, http.StatusOK, src)
}

func (s *server) answerSource(c *call, status int, src relay.Source) (answer, error) {
	w, err := s.sourceWire(c, src)
	if err == nil && byRecipe(src.Provider) {
		w.Sample, err = sampleOf(src)
	}
	return answer{status: status, body: w}, err
}

func (s *server) sourceWire(c *call, src relay.Source) (wireSource, error) {
	w := wireSource{
		ID: src.ID, Object: "webhook_source", Provider: src.Provider, Name: src.Name, Status: src.Status,
		IngestURL: s.publicURL(c.r) + "/in/" + src.ID, CreatedAt: moment(src.CreatedAt), UpdatedAt: moment(src.UpdatedAt),
	}
	if src.Provider != relay.Sivi {
		w.SecretSet = new(src.Secret != "")
		if byRecipe(src.Provider) {
			w.PublicKeys, w.Recipe = new(orEmpty(src.PublicKeys)), json.RawMessage(src.Recipe)
		}
		return w, nil
	}
	token, err := s.Keys.Open(src.Token, s.place(src, seal.Token))
	if err != nil {
		return w, err
	}
	w.IngestURL += "/" + token.Reveal()
	w.APIKeySet, w.API, w.Confirm = new(src.APIKey != ""), src.API, &src.Confirm
	return w, nil
}

// publicURL is the setting, or where the request came to: the scheme as the
// gateway in front reports it.
func (s *server) publicURL(r *http.Request) string {
	if s.PublicURL != "" {
		return s.PublicURL
	}
	scheme := "http"
	if r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}
