package receiver

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"hookferry/shared/rawjson"
	"hookferry/shared/relay"
	"hookferry/shared/seal"
	"hookferry/shared/signature"
)

// The headers that Rivya sends; the prefix is always Rivya's own, whatever our
// deliveries carry.
const (
	headerID        = "Rivya-Webhook-Id"
	headerTimestamp = "Rivya-Webhook-Timestamp"
	headerSignature = "Rivya-Webhook-Signature"
)

// rivya proves and reads a call of a Rivya source.
func (rc *receiver) rivya(w http.ResponseWriter, r *http.Request, c *call, src relay.Source) (ev relay.Event, done func(), err error) {
	none := func() {}
	secrets, err := rc.secrets(src, c)
	if err != nil {
		return ev, none, err
	}
	// A gateway joins repeated headers with commas: so here too, or one call
	// would be judged in two ways. What can be judged without the body is judged
	// before it is read.
	sig, timestamp := header(r, headerSignature), once(header(r, headerTimestamp))
	if err := signature.PrecheckRivya(sig, timestamp, c.now); err != nil {
		return ev, none, unsigned(err)
	}
	body, done, err := rc.read(w, r, c, false)
	if err != nil {
		return ev, done, err
	}
	if err := signature.VerifyRivya(sig, timestamp, body, c.now, secrets...); err != nil {
		return ev, done, unsigned(err)
	}

	id, typ, err := parseRivya(body)
	if err != nil {
		return ev, done, err
	}
	// The header is not signed.
	if told := header(r, headerID); told != "" && !repeats(told, id) {
		return ev, done, refusal("id_mismatch", relay.KindValidation, headerID+" is not the id of the body.")
	}
	return relay.Event{
		ID: id, Type: typ, Format: relay.FormatRivya, VerifiedBy: relay.VerifiedBySignature,
		Test: typ == relay.TypeTest, Payload: rc.Payload(body), Subject: generationID(body),
	}, done, nil
}

// once returns the one value of a header whose equal values a proxy has
// repeated, and any other text as it is.
func once(joined string) string {
	first, rest, more := strings.Cut(joined, ",")
	if first = strings.TrimSpace(first); more && repeats(rest, first) {
		return first
	}
	return joined
}

// repeats reports whether a header says value, once or joined several times. A
// value may have commas of its own.
func repeats(joined, value string) bool {
	for {
		rest, ok := strings.CutPrefix(strings.Trim(joined, " \t"), value)
		if !ok || value == "" {
			return false
		}
		if rest = strings.Trim(rest, " \t"); rest == "" {
			return true
		}
		if joined, ok = strings.CutPrefix(rest, ","); !ok {
			return false
		}
	}
}

// secrets opens the secrets that are valid now: the newest first.
func (rc *receiver) secrets(src relay.Source, c *call) ([]relay.Secret, error) {
	if src.Secret == "" {
		// Providers show the secret only once they have our URL. Until it is set
		// here, their own retries keep the event.
		return nil, refusal("no_secret", relay.KindUnavailable,
			"This source has no signing secret yet. Set it, and send the event again.")
	}
	current, err := rc.Keys.Open(src.Secret, seal.Place{Account: src.Account, Object: src.ID, Field: seal.SigningSecret})
	if err != nil {
		return nil, unopened(err)
	}
	secrets := []relay.Secret{current}
	if src.OldSecret != "" && c.now.Before(src.OldSecretUntil) {
		old, err := rc.Keys.Open(src.OldSecret, seal.Place{Account: src.Account, Object: src.ID, Field: seal.OldSigningSecret})
		if err != nil {
			return nil, unopened(err)
		}
		secrets = append(secrets, old)
	}
	return secrets, nil
}

// unopened tells a secret that never opens from a keyring that is out of reach,
// for which the provider is asked to come again.
func unopened(err error) error {
	if errors.Is(err, seal.ErrOpen) {
		return internal(err)
	}
	return unavailable(err)
}

func header(r *http.Request, name string) string {
	values := r.Header[name]
	if len(values) == 1 {
		return values[0]
	}
	return strings.Join(values, ",")
}

// unsigned turns a signature's error into the answer.
func unsigned(err error) error {
	switch {
	case errors.Is(err, signature.ErrMissing):
		return refusal("signature_missing", relay.KindSignatureInvalid,
			"The call is not signed. Send "+headerTimestamp+" and "+headerSignature+".")
	case errors.Is(err, signature.ErrMalformed):
		return refusal("signature_malformed", relay.KindSignatureInvalid,
			headerTimestamp+" must be Unix seconds and "+headerSignature+" v1=<hex>.")
	case errors.Is(err, signature.ErrStale):
		return refusal("signature_stale", relay.KindSignatureInvalid,
			headerTimestamp+" is more than 5 minutes from now.")
	case errors.Is(err, signature.ErrMismatch):
		return refusal("signature_mismatch", relay.KindSignatureInvalid,
			"The signature does not fit the body under this source's signing secret.")
	}
	return internal(fmt.Errorf("verify: %w", err))
}

// parseRivya returns the id and type of a signed body, which is an object in
// valid JSON and UTF-8 with exactly one of each. The rest of it is handed on as
// it is.
func parseRivya(body []byte) (id, typ string, err error) {
	no := func(what string) (string, string, error) {
		return "", "", refusal("body", relay.KindValidation, "The body is no event: "+what+".")
	}
	if !rawjson.Valid(body) {
		return no(rawjson.ErrInvalid.Error())
	}
	fields, err := rawjson.Fields(body, "id", "type")
	if err != nil {
		return no(err.Error())
	}
	id, ok := rawjson.String(fields[0])
	if !ok || !relay.ValidEventID(id) {
		return no("its id must be a string of 1 to 128 printable ASCII characters, without a blank at either end, and not . or ..")
	}
	typ, ok = rawjson.String(fields[1])
	if !ok || !relay.ValidEventType(typ) {
		return no("its type must be a name like generation.succeeded")
	}
	if relay.ReservedType(typ) && typ != relay.TypeTest {
		return no("types that begin with endpoint. or webhook. are not a provider's, but for webhook.test")
	}
	return id, typ, nil
}

// generationID returns the generation that a body of Rivya's form is about, its
// data.generation.id; empty if it names none, or cannot be understood in one way.
func generationID(body []byte) string {
	raw := body
	for _, name := range []string{"data", "generation", "id"} {
		fields, err := rawjson.Fields(raw, name)
		if err != nil || fields[0] == nil {
			return ""
		}
		raw = fields[0]
	}
	if id, ok := rawjson.String(raw); ok && relay.ValidSubject(id) {
		return id
	}
	return ""
}
