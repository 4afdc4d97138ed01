package recipe

import (
	"embed"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"hookferry/shared/rawjson"
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

// standardText is the recipe of Standard Webhooks.
const standardText = `{
	"signature": {"header": "webhook-signature", "item": "v1", "scheme": "hmac-sha256", "encoding": "base64"},
	"secret_encoding": "base64",
	"signed": "{header:webhook-id}.{timestamp}.{body}",
	"timestamp": {"header": "webhook-timestamp", "unit": "s", "tolerance_seconds": 300},
	"id": "{header:webhook-id}", "type": "{/type}"
}`

// standardName is the preset that a Standard recipe shows.
const standardName = "standard"

// ownFields are what a source of Standard Webhooks can set.
var ownFields = []string{"type", "subject", "generation"}

// Standard returns the recipe of a source that gets Standard Webhooks: v1 under
// secrets that begin with whsec_, v1a under public keys that begin with whpk_,
// several of either at once. The event's id is webhook-id. Its type is the
// body's type, or standard.event where it has none.
//
// text is empty, or a JSON object with a type of the source's own, which must
// then be in each call, a subject, or the provider of generations. Other fields may be given as they are
// shown. The error is a *FieldError.
func Standard(text []byte) (*Recipe, error) {
	r, err := Parse([]byte(standardText))
	if err != nil {
		return nil, err
	}
	r.wire.Preset = standardName
	r.forms = append(r.forms, form{item: "v1a", scheme: schemes[ed25519Scheme], secret: "base64", strip: "whpk_"})
	r.fallback = standardEvent
	if len(text) == 0 {
		return r, nil
	}
	if len(text) > MaxRecipe || !rawjson.Valid(text) {
		return nil, &FieldError{Field: "recipe", Problem: "must be valid JSON in UTF-8 of at most 8192 bytes"}
	}
	var fault *FieldError
	o := openObject(text, "", &fault, fieldNames...)
	shown := openObject(must(json.Marshal(r)), "", &fault, fieldNames...)
	for _, name := range fieldNames {
		if !slices.Contains(ownFields, name) && o.has(name) && !equalJSON(o.fields[name], shown.fields[name]) {
			o.fail(name, "is what Standard Webhooks says; a source of standard can set type, subject and generation")
		}
	}
	if fault != nil {
		return nil, fault
	}
	if o.has("type") && !equalJSON(o.fields["type"], shown.fields["type"]) {
		r.fallback = ""
	} else {
		o.fields["type"] = shown.fields["type"]
	}
	o.fields["id"] = shown.fields["id"]
	delete(o.fields, "unsigned")
	for _, name := range []string{"type", "subject"} {
		if t, problem := parseTemplate(o.text(name, MaxTemplate), false); problem == "" && t.beyond(r.signed) != "" {
			o.fail(name, "must not come from "+t.beyond(r.signed)+", a header that is not signed")
		}
	}
	r.parseEvent(o)
	if fault != nil {
		return nil, fault.on(r)
	}
	return r, nil
}

// Stored reads a recipe that MarshalJSON wrote, of a source of standard or hmac.
func Stored(text []byte) (*Recipe, error) {
	var named struct{ Preset string }
	if err := json.Unmarshal(text, &named); err != nil {
		return nil, &FieldError{Field: "recipe", Problem: "must be valid JSON"}
	}
	if named.Preset == standardName {
		return Standard(text)
	}
	return Parse(text)
}

func equalJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func must(text []byte, err error) []byte {
	if err != nil {
		panic(err) // strings and numbers
	}
	return text
}
