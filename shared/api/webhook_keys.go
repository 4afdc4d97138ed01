package api

import (
	"crypto/ed25519"
	"encoding/base64"

	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

// A wireKeySet is a JSON Web Key Set (RFC 7517) of Ed25519 keys (RFC 8037).
type wireKeySet struct {
	Keys []wirePublicKey `json:"keys"`
}

type wirePublicKey struct {
	Type  string `json:"kty"`
	Curve string `json:"crv"`
	Use   string `json:"use"`
	Alg   string `json:"alg"`
	ID    string `json:"kid"`
	X     string `json:"x"`
	// Standard is the key as libraries of Standard Webhooks take it.
	Standard string `json:"whpk"`
}

// webhookKeys answers the public keys that deliveries to an endpoint are signed
// with, to whoever asks: they follow from the endpoint's ID, nothing is looked
// up, and so nothing tells whether there is such an endpoint.
func (s *server) webhookKeys(c *call) (answer, error) {
	id := c.r.URL.Query().Get("endpoint_id")
	if !validID(relay.EndpointPrefix, id) {
		return answer{}, relay.Invalid("endpoint_id", "endpoint_id must name the endpoint, as Rivya-Webhook-Endpoint-Id does: each endpoint has keys of its own.")
	}
	set := wireKeySet{}
	for _, k := range signature.EndpointKeys(s.Keys, id) {
		set.Keys = append(set.Keys, wirePublicKey{
			Type: "OKP", Curve: "Ed25519", Use: "sig", Alg: "EdDSA", ID: k.ID, Standard: k.Public(),
			X: base64.RawURLEncoding.EncodeToString(k.Private.Public().(ed25519.PublicKey)),
		})
	}
	c.w.Header().Set("Cache-Control", "public, max-age=300")
	c.w.Header().Set("Access-Control-Allow-Origin", "*") // there is nothing secret in it
	return ok(set)
}
