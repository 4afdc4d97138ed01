package receiver

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"hookferry/shared/recipe"
	"hookferry/shared/relay"
)

// maxRecipes is how many parsed recipes a process keeps.
const maxRecipes = 1024

// recipes keeps recipes parsed. It is safe for concurrent use.
type recipes struct {
	mu     sync.Mutex
	byText map[string]*recipe.Recipe
}

// parsed returns the recipe of a source.
func (rs *recipes) parsed(text string) (*recipe.Recipe, error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r := rs.byText[text]; r != nil {
		return r, nil
	}
	r, err := recipe.Stored([]byte(text))
	if err != nil {
		return nil, err
	}
	if rs.byText == nil || len(rs.byText) >= maxRecipes {
		rs.byText = map[string]*recipe.Recipe{}
	}
	rs.byText[text] = r
	return r, nil
}

// byRecipe proves and reads a call of a source of standard or hmac.
func (rc *receiver) byRecipe(w http.ResponseWriter, r *http.Request, c *call, src relay.Source) (got proved, done func(), err error) {
	none := func() {}
	rec, err := rc.recipes.parsed(src.Recipe)
	if err != nil {
		return got, none, internal(fmt.Errorf("recipe of source %s: %w", src.ID, err))
	}
	keys, err := rc.keys(src, c)
	if err != nil {
		return got, none, err
	}
	if err := rec.BeforeBody(r.Header, c.now); err != nil {
		return got, none, unproved(err)
	}
	body, done, err := rc.read(w, r, c, false)
	if err != nil {
		return got, done, err
	}
	req := recipe.Request{Header: r.Header, Body: body, Source: src.Name}
	if rc.PublicURL != "" {
		req.URL = rc.PublicURL + "/in/" + src.ID
	}
	res, err := rec.Verify(req, c.now, keys...)
	if err != nil {
		return got, done, unproved(err)
	}
	if res.Challenge != nil {
		return proved{challenge: res.Challenge}, done, nil
	}
	got.Event = relay.Event{
		ID: res.ID, Type: res.Type, Subject: res.Subject, Key: relay.EventKey(src.ID, res.ID),
		Format: relay.FormatVerbatim, VerifiedBy: relay.VerifiedBySignature, Payload: rc.Payload(body),
	}
	if res.Generation != "" {
		got.Format = relay.Format(res.Generation)
	}
	got.proof = res.Proof
	return got, done, nil
}

// keys returns the secrets and public keys that are valid now.
func (rc *receiver) keys(src relay.Source, c *call) ([]relay.Secret, error) {
	var keys []relay.Secret
	if src.Secret != "" || len(src.PublicKeys) == 0 {
		secrets, err := rc.secrets(src, c)
		if err != nil {
			return nil, err
		}
		keys = secrets
	}
	for _, key := range src.PublicKeys {
		keys = append(keys, relay.Secret(key))
	}
	return keys, nil
}

// unproved turns a recipe's error into the answer. What it says of the headers,
// the provider's documentation says too.
func unproved(err error) error {
	var reason string
	kind := relay.KindSignatureInvalid
	switch {
	case errors.Is(err, recipe.ErrEvent):
		reason, kind = "body", relay.KindValidation
	case errors.Is(err, recipe.ErrMissing):
		reason = "signature_missing"
	case errors.Is(err, recipe.ErrMalformed):
		reason = "signature_malformed"
	case errors.Is(err, recipe.ErrStale):
		reason = "signature_stale"
	case errors.Is(err, recipe.ErrMismatch):
		reason = "signature_mismatch"
	default:
		return internal(fmt.Errorf("verify: %w", err))
	}
	text := err.Error()
	return refusal(reason, kind, strings.ToUpper(text[:1])+text[1:]+".")
}
