package recipe

import (
	"embed"
	"strings"
)

//go:embed presets/*.json
var presetFiles embed.FS

// Presets returns the names of the presets, sorted.
func Presets() []string {
	entries, err := presetFiles.ReadDir("presets")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ".json")
	}
	return names
}

func preset(name string) ([]byte, bool) {
	for i := range len(name) {
		if !isWord(name[i]) {
			return nil, false
		}
	}
	text, err := presetFiles.ReadFile("presets/" + name + ".json")
	return text, err == nil
}

// standardEvent is the type of a Standard Webhooks call whose body names none.
const standardEvent = "standard.event"

// Standard returns the recipe of a source that gets Standard Webhooks: v1 under
// secrets that begin with whsec_, v1a under public keys that begin with whpk_,
// several of either at once. The event's id is webhook-id. Its type is what the
// template says; without a template it is the body's type, or standard.event
// where it has none. Its JSON shows the whole, but only the template is needed to
// make it again. The error is a *FieldError that names type.
func Standard(typeTemplate string) (*Recipe, error) {
	r, err := Parse([]byte(`{
		"signature": {"header": "webhook-signature", "item": "v1", "scheme": "hmac-sha256", "encoding": "base64"},
		"secret_encoding": "base64",
		"signed": "{header:webhook-id}.{timestamp}.{body}",
		"timestamp": {"header": "webhook-timestamp", "unit": "s", "tolerance_seconds": 300},
		"id": "{header:webhook-id}", "type": "{/type}"
	}`))
	if err != nil {
		return nil, err
	}
	r.wire.Preset = "standard"
	r.forms = append(r.forms, form{item: "v1a", scheme: schemes[ed25519Scheme], secret: "base64", strip: "whpk_"})
	if typeTemplate == "" {
		r.fallback = standardEvent
		return r, nil
	}
	t, problem := parseTemplate(typeTemplate, false)
	switch {
	case len(typeTemplate) > MaxTemplate:
		problem = "must have at most 256 bytes"
	case problem == "" && t.beyond(r.signed) != "":
		problem = "must not come from " + t.beyond(r.signed) + ", a header that is not signed"
	}
	if problem != "" {
		return nil, &FieldError{"type", problem}
	}
	r.wire.Type, r.typ = typeTemplate, t
	return r, nil
}
