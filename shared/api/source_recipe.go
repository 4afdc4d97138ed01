package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"hookferry/shared/recipe"
	"hookferry/shared/relay"
	"hookferry/shared/seal"
)

// maxSourceSecret is the most characters of a signing secret, those of a hex
// text included.
const maxSourceSecret = 2 * recipe.MaxSecret

// byRecipe reports whether sources of the provider have a recipe.
func byRecipe(p relay.Provider) bool { return p == relay.Standard || p == relay.HMAC }

// applyRecipe sets recipe and public keys, and judges them and the secret by the
// recipe that the source then has.
func (s *server) applyRecipe(src *relay.Source, f sourceFields) (changed []string, err error) {
	rec, err := f.recipeOf(*src)
	if err != nil {
		return nil, err
	}
	if rec.SignsURL() && s.PublicURL == "" {
		return nil, relay.Invalid("recipe.signed", "recipe.signed holds {url}, which needs the setting PUBLIC_URL.")
	}
	text, err := json.Marshal(rec)
	if err != nil {
		return nil, fmt.Errorf("recipe of source %s: %w", src.ID, err)
	}
	if string(text) != src.Recipe {
		src.Recipe = string(text)
		changed = append(changed, "recipe")
	}
	keys := src.PublicKeys
	switch {
	case f.Keys != nil:
		keys = *f.Keys
	case !rec.Asymmetric():
		keys = nil
	}
	if err := checkPublicKeys(rec, keys); err != nil {
		return nil, err
	}
	if !slices.Equal(keys, src.PublicKeys) {
		src.PublicKeys = keys
		changed = append(changed, "public_keys")
	}
	return changed, s.checkSecrets(src, rec, f.Secret)
}

// recipeOf returns the recipe that is given, or the one that the source has.
func (f sourceFields) recipeOf(src relay.Source) (*recipe.Recipe, error) {
	if f.Recipe == nil && f.Preset == nil && src.Recipe != "" {
		rec, err := recipe.Stored([]byte(src.Recipe))
		if err != nil {
			return nil, fmt.Errorf("recipe of source %s: %w", src.ID, err)
		}
		return rec, nil
	}
	var rec *recipe.Recipe
	var err error
	switch {
	case src.Provider == relay.Standard && f.Recipe == nil:
		rec, err = recipe.Standard(nil)
	case src.Provider == relay.Standard:
		rec, err = recipe.Standard(*f.Recipe)
	case f.Recipe == nil && f.Preset == nil:
		return nil, relay.Invalid("recipe", "recipe is missing; or name a preset, one of %s.", wordList(recipe.Presets()))
	default:
		rec, err = recipe.Parse(f.text())
	}
	var fault *recipe.FieldError
	if !errors.As(err, &fault) {
		return rec, err
	}
	param := "recipe." + fault.Field
	switch {
	case fault.Field == "recipe":
		param = "recipe"
	case fault.Field == "preset" && f.Preset != nil:
		param = "preset"
	}
	fault.Field = param
	return nil, relay.Invalid(param, "%s", fault.Error())
}

// text returns the recipe with the preset that was given beside it.
func (f sourceFields) text() []byte {
	if f.Preset == nil {
		return *f.Recipe
	}
	name, err := json.Marshal(*f.Preset)
	if err != nil {
		panic(err) // strings always marshal
	}
	text := append([]byte(`{"preset":`), name...)
	if f.Recipe == nil {
		return append(text, '}')
	}
	rest := bytes.TrimSpace((*f.Recipe)[1:])
	if rest[0] != '}' {
		text = append(text, ',')
	}
	return append(text, rest...)
}

func checkPublicKeys(rec *recipe.Recipe, keys []string) error {
	if len(keys) > 0 && !rec.Asymmetric() {
		return relay.Invalid("public_keys", "public_keys are for recipes of scheme ed25519; this one's calls are signed with a signing_secret.")
	}
	for i, key := range keys {
		if err := rec.CheckPublicKey(key); err != nil {
			param := fmt.Sprintf("public_keys[%d]", i)
			return relay.Invalid(param, "%s must be an Ed25519 public key of 32 bytes, as the recipe's secret_encoding says; for standard it begins with whpk_.", param)
		}
	}
	return nil
}

// checkSecrets judges a new secret by the recipe; or, without one, the secret
// that the source has. What was good before and does not fit the recipe any more
// is dropped, or no call would be.
func (s *server) checkSecrets(src *relay.Source, rec *recipe.Recipe, given *string) error {
	if given != nil && !rec.Symmetric() {
		return relay.Invalid("signing_secret", "signing_secret is for recipes of an hmac scheme; this one's calls are checked with public_keys.")
	}
	if given != nil {
		if err := rec.CheckSecret(relay.Secret(*given)); err != nil {
			return relay.Invalid("signing_secret", "signing_secret cannot be used: %s.", err)
		}
	}
	fits, err := s.fits(rec, src.Secret, s.place(*src, seal.SigningSecret))
	switch {
	case err != nil:
		return err
	case !fits && given == nil && rec.Symmetric():
		return relay.Invalid("recipe", "The signing_secret of this source does not fit the recipe. Give the new one with it.")
	case !fits:
		src.Secret = ""
	}
	if fits, err = s.fits(rec, src.OldSecret, s.place(*src, seal.OldSigningSecret)); err != nil {
		return err
	}
	if !fits {
		src.OldSecret, src.OldSecretUntil = "", time.Time{}
	}
	return nil
}

// fits reports whether a stored secret can be used under the recipe; none can.
func (s *server) fits(rec *recipe.Recipe, sealed relay.Sealed, place seal.Place) (bool, error) {
	if sealed == "" {
		return true, nil
	}
	secret, err := s.Keys.Open(sealed, place)
	return err == nil && rec.CheckSecret(secret) == nil, err
}

// sampleOf returns what the source's recipe makes of a sample call that is signed
// with a public sample secret, or null where no sample can be made up.
func sampleOf(src relay.Source) (*recipe.Computed, error) {
	rec, err := recipe.Stored([]byte(src.Recipe))
	if err != nil {
		return nil, fmt.Errorf("recipe of source %s: %w", src.ID, err)
	}
	sample := rec.Sample()
	sample.Source = src.Name
	computed, err := rec.Compute(sample)
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // Some recipes ask for what no made-up call has.
	}
	return &computed, nil
}
