package receiver

import (
	"crypto/subtle"
	"net/http"

	"hookferry/shared/relay"
	"hookferry/shared/sivi"
)

// sivi proves and reads a call of a Sivi source.
func (rc *receiver) sivi(w http.ResponseWriter, r *http.Request, c *call, src relay.Source) (ev relay.Event, done func(), err error) {
	if !tokenFits(c, src) {
		return ev, func() {}, refusal("token", relay.KindTokenInvalid, "The token in the URL is not this source's.")
	}
	body, done, err := rc.read(w, r, c, true)
	if err != nil {
		return ev, done, err
	}
	said, err := sivi.Parse(body)
	if err != nil {
		return ev, done, refusal("body", relay.KindValidation, "The body is no event: "+err.Error()+".")
	}
	ev = relay.Event{
		ID: sivi.EventID(src.ID, said, body), Type: said.Type, Format: relay.FormatSivi,
		VerifiedBy: relay.VerifiedByToken, Payload: rc.Payload(body),
	}
	if relay.ValidSubject(said.RequestID) {
		ev.Subject = said.RequestID
	}
	if !said.Progress && src.APIKey != "" && (src.Confirm == relay.ConfirmPrefer || src.Confirm == relay.ConfirmRequire) {
		ev.Confirm = src.Confirm
	}
	return ev, done, nil
}

// tokenFits compares hashes, so that neither the token's length nor the place
// where it differs shows in the time; and both of them, whatever the first gave.
func tokenFits(c *call, src relay.Source) bool {
	hash := relay.HashSecret(c.token)
	current := fits(hash, src.TokenHash)
	old := fits(hash, src.OldTokenHash)
	return c.token != "" && (current || old && c.now.Before(src.OldTokenUntil))
}

// fits is false for the zero hash, which means that there is no token.
func fits(hash, want relay.KeyHash) bool {
	return subtle.ConstantTimeCompare(hash[:], want[:]) == 1 && want != (relay.KeyHash{})
}
