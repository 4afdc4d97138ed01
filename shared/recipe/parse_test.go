package recipe

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// base is a recipe that is right; tests replace one part of it.
const base = `{"signature":{"header":"X-Sig","scheme":"hmac-sha256","encoding":"hex"},` +
	`"signed":"{timestamp}.{body}","timestamp":{"header":"X-Time"},"id":"{/id}","type":"{/type}"}`

var long = strings.Repeat("x", 600)

// faults change one part of base and say which field is then at fault.
var faults = []struct{ field, old, new, says string }{
	{"recipe", base, `[]`, "JSON object"},
	{"recipe", base, `{"a":`, "valid JSON"},
	{"recipe", base, `{"id":"` + strings.Repeat("x", MaxRecipe) + `"}`, "8192"},
	{"colour", `"id"`, `"colour":1,"id"`, "no field"},
	{"id", `"id"`, `"id":"{/a}","id"`, "twice"},
	{"ID", `"id":`, `"ID":`, "no field"},
	{"preset", `"id"`, `"preset":"nobody","id"`, "github"},
	{"preset", `"id"`, `"preset":"../presets/github","id"`, "one of"},
	{"signature", `"signature":{"header":"X-Sig","scheme":"hmac-sha256","encoding":"hex"},`, ``, "given"},
	{"signature", `{"header":"X-Sig","scheme":"hmac-sha256","encoding":"hex"}`, `"X-Sig"`, "object"},
	{"signature.header", `"X-Sig"`, `""`, "given"},
	{"signature.header", `"X-Sig"`, `"X Sig"`, "name of a header"},
	{"signature.header", `"X-Sig"`, `"` + long + `"`, "64 bytes"},
	{"signature.header", `"X-Sig"`, `"hOST"`, "{url}"},
	{"signature.header", `"X-Sig"`, `7`, "string"},
	{"signature.item", `"X-Sig"`, `"X-Sig","item":"v=1"`, "letters"},
	{"signature.scheme", `hmac-sha256`, `hmac-md5`, "ed25519"},
	{"signature.encoding", `"hex"`, `"base32"`, "base64"},
	{"signature.prefix", `"X-Sig"`, `"X-Sig","prefix":" v0="`, "blanks"},
	{"signature.prefix", `"X-Sig"`, `"X-Sig","prefix":"` + long + `"`, "32 bytes"},
	{"signature.secret", `"X-Sig"`, `"X-Sig","secret":"s"`, "no field"},
	{"secret_encoding", `"id"`, `"secret_encoding":"rot13","id"`, "text"},
	{"secret_encoding", `hmac-sha256","encoding":"hex"}`, `ed25519","encoding":"hex"},"secret_encoding":"text"`, "hex"},
	{"signed", `{timestamp}.{body}`, ``, "given"},
	{"signed", `{timestamp}.{body}`, `{timestamp}.x`, `"1700000000.x"`},
	{"signed", `{timestamp}.{body}`, `{timestamp}.{header:Digest}`, "prove the body"},
	{"signed", `{timestamp}.{body}`, `{body}`, "declared"},
	{"signed", `{timestamp}.{body}`, `{timestamp}{body}`, "between any two"},
	{"signed", `{timestamp}.{body}`, `{timestamp}0{body}`, "no letter and no digit"},
	{"signed", `{timestamp}.{body}`, `{timestamp}.{body}.{body}`, "once"},
	{"signed", `{timestamp}.{body}`, `{timestamp}.{body`, "without its }"},
	{"signed", `{timestamp}.{body}`, `{timestamp}.{body}}`, "without its {"},
	{"signed", `{timestamp}.{body}`, `{timestamp}.{/id}.{body}`, "only {body}"},
	{"signed", `{timestamp}.{body}`, `{timestamp}.{host}.{body}`, "{url}"},
	{"signed", `{timestamp}.{body}`, `{timestamp}.{header:Host}.{body}`, "Host"},
	{"signed", `{timestamp}.{body}`, `{timestamp}é{body}`, "ASCII"},
	{"signed", `{timestamp}.{body}`, `{timestamp}.{body}` + long, "512"},
	{"signed", `{timestamp}.{body}`, `{timestamp}.{body}` + strings.Repeat(".{header:a}", 8), "8 placeholders"},
	{"signed", `"timestamp":{"header":"X-Time"},`, ``, "must say which header"},
	{"timestamp.header", `{"header":"X-Time"}`, `{}`, "given"},
	{"timestamp.unit", `"X-Time"`, `"X-Time","unit":"ns"`, "s, ms"},
	{"timestamp.tolerance_seconds", `"X-Time"`, `"X-Time","tolerance_seconds":3601`, "3600"},
	{"timestamp.tolerance_seconds", `"X-Time"`, `"X-Time","tolerance_seconds":0`, "from 1"},
	{"timestamp.tolerance_seconds", `"X-Time"`, `"X-Time","tolerance_seconds":1.5`, "integer"},
	{"timestamp.tolerance_seconds", `"X-Time"`, `"X-Time","tolerance_seconds":1e300`, "integer"},
	{"id", `{/id}`, `fixed`, "placeholder"},
	{"id", `{/id}`, `{body}`, "json/pointer"},
	{"id", `{/id}`, `{/a~2}`, "~0"},
	{"id", `{/id}`, `{/1/2/3/4/5/6/7/8/9}`, "8 segments"},
	{"type", `{/type}`, `{/type}{/action}`, "between"},
	{"type", `{/type}`, ``, "given"},
	{"subject", `"id"`, `"subject":"{nothing}","id"`, "json/pointer"},
	{"unsigned", `{/id}`, `{header:X-Id}`, "X-Id"},
	{"unsigned", `"id"`, `"unsigned":["id"],"id"`, "is signed"},
	{"unsigned", `"id"`, `"unsigned":["body"],"id"`, "may name"},
	{"unsigned", `"id"`, `"unsigned":"id","id"`, "array"},
	{"unsigned", `"id":"{/id}"`, `"unsigned":["id","id"],"id":"{header:X}"`, "once"},
	{"challenge.when", `"id"`, `"challenge":{"answer":"/a"},"id"`, "given"},
	{"challenge.answer", `"id"`, `"challenge":{"when":"/a","answer":"b"},"id"`, "begins with /"},
	{"challenge.as", `"id"`, `"challenge":{"when":"/a","answer":"/b","as":"html"},"id"`, "text, json"},
}

func TestAFaultNamesItsFieldInASentence(t *testing.T) {
	for _, c := range faults {
		text := strings.Replace(base, c.old, c.new, 1)
		_, err := Parse([]byte(text))
		var fault *FieldError
		if !errors.As(err, &fault) {
			t.Errorf("%s: %v, want a fault of %s", text, err, c.field)
			continue
		}
		if fault.Field != c.field || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s:\n got %s\nwant %s … %s", text, err, c.field, c.says)
		}
		if !strings.HasSuffix(err.Error(), ".") || len(err.Error()) > 700 {
			t.Errorf("no sentence: %q", err)
		}
	}
	if _, err := Parse([]byte(base)); err != nil {
		t.Errorf("the recipe that the cases change: %v", err)
	}
}

// What an answer shows is the whole recipe, and is a recipe.
func TestARecipeShowsItselfWhole(t *testing.T) {
	for _, name := range Presets() {
		r, err := Parse([]byte(`{"preset":"` + name + `"}`))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v in %s", name, err, text)
			continue
		}
		if diff := cmp.Diff(r.wire, again.wire); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if r.Preset() != name || r.wire.SecretEncoding == "" || r.wire.Signed == "" {
			t.Errorf("%s is not whole: %s", name, text)
		}
	}
}

// Fields beside a preset take the place of its own, and null takes one away.
func TestAPresetCanBeChanged(t *testing.T) {
	r, err := Parse([]byte(`{"preset":"stripe","type":"{/type}.x","subject":null,
		"timestamp":{"header":"Stripe-Signature","item":"t","tolerance_seconds":60}}`))
	if err != nil {
		t.Fatal(err)
	}
	if w := r.wire; w.Type != "{/type}.x" || w.Subject != "" || w.Timestamp.Tolerance != 60 || w.ID != "{/id}" {
		t.Errorf("got %+v", w)
	}
	// Stored whole without a subject, it does not get the preset's back.
	text, _ := json.Marshal(r)
	if again, err := Parse(text); err != nil || again.wire.Subject != "" {
		t.Errorf("again: %+v, %v", again, err)
	}
}

// Each preset has a vector, and each a row of the README that names its proof.
func TestTheTableOfProvidersIsTrue(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	proved := map[string]bool{}
	for _, v := range vectors(t) {
		proved[v.Preset] = true
		if v.Preset == "" {
			continue
		}
		if row := "| " + v.name + " | "; !strings.Contains(string(readme), row) || !strings.Contains(string(readme), v.Proof) {
			t.Errorf("the README lacks a row like\n%s… | %s |", row, v.Proof)
		} else if _, rest, _ := strings.Cut(string(readme), row); strings.Contains(strings.SplitN(rest, "\n", 2)[0], "`generation.*`") != (v.recipe(t).Generation() != "") {
			t.Errorf("the row of %s says otherwise about its generations", v.name)
		}
	}
	names := Presets()
	if slices.ContainsFunc(names, func(n string) bool { return !proved[n] }) || len(names) < 12 {
		t.Errorf("%d presets, proved are %v", len(names), proved)
	}
}
