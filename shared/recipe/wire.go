package recipe

import "encoding/json"

// A wire is a recipe as JSON shows it, every default filled in.
type wire struct {
	Preset         string         `json:"preset,omitempty"`
	Signature      wireSignature  `json:"signature"`
	SecretEncoding string         `json:"secret_encoding"`
	Signed         string         `json:"signed"`
	Timestamp      *wireTimestamp `json:"timestamp,omitempty"`
	ID             string         `json:"id"`
	Type           string         `json:"type"`
	Subject        string         `json:"subject,omitempty"`
	Generation     string         `json:"generation,omitempty"`
	Unsigned       []string       `json:"unsigned,omitempty"`
	Challenge      *wireChallenge `json:"challenge,omitempty"`
}

type wireSignature struct {
	Header   string `json:"header"`
	Item     string `json:"item,omitempty"`
	Scheme   string `json:"scheme"`
	Encoding string `json:"encoding"`
	Prefix   string `json:"prefix,omitempty"`
}

type wireTimestamp struct {
	Header    string `json:"header"`
	Item      string `json:"item,omitempty"`
	Unit      string `json:"unit"`
	Tolerance int    `json:"tolerance_seconds"`
}

type wireChallenge struct {
	When   string `json:"when"`
	Answer string `json:"answer"`
	As     string `json:"as"`
}

// MarshalJSON returns the whole recipe: what its preset filled in and the
// defaults too. Parse of it gives an equal recipe, also after the preset has
// changed.
func (r *Recipe) MarshalJSON() ([]byte, error) { return json.Marshal(r.wire) }

// Preset returns the name of the preset that the recipe began with, or nothing.
func (r *Recipe) Preset() string { return r.wire.Preset }

// Generation returns the provider whose generations the calls are, as package
// generation knows it, or nothing.
func (r *Recipe) Generation() string { return r.wire.Generation }
