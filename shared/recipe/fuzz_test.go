package recipe

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A recipe that is taken shows itself as a recipe, proves the body, and says yes
// to its own sample and no to a changed one.
func FuzzParse(f *testing.F) {
	f.Add([]byte(base))
	for _, name := range Presets() {
		text, err := os.ReadFile("presets/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add([]byte(`{"preset":"` + name + `"}`))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Parse(text)
		if err != nil {
			return
		}
		whole, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if len(whole) <= MaxRecipe {
			again, err := Parse(whole)
			if err != nil {
				t.Fatalf("%s: %v", whole, err)
			}
			if diff := cmp.Diff(r.wire, again.wire); diff != "" {
				t.Fatal(diff)
			}
		}
		sample := r.Sample()
		if _, err := r.Compute(sample); err != nil {
			return // a recipe can ask for what no sample has, one header as two things for instance
		}
		sample.Body = append(bytes.Clone(sample.Body), ' ')
		if _, err := r.Verify(sample, SampleTime(), r.SampleSecret()); err == nil {
			t.Errorf("a changed body passes under %s", whole)
		}
	})
}

// Whatever a call holds, nothing passes but the signed bytes.
func FuzzVerify(f *testing.F) {
	type good struct {
		r *Recipe
		v vector
	}
	var all []good
	for i, v := range vectors(f) {
		r := v.recipe(f)
		all = append(all, good{r, v})
		f.Add(i, v.Headers[r.wire.Signature.Header], v.Headers[firstOf(r)], []byte(v.Body))
		f.Add(i, "v1=,t=;,v1,", "0", []byte(`{"id":"1"}`))
	}
	f.Fuzz(func(t *testing.T, i int, sig, timestamp string, body []byte) {
		g := all[uint(i)%uint(len(all))]
		req := g.v.request()
		req.Header.Set(g.r.wire.Signature.Header, sig)
		if w := g.r.wire.Timestamp; w != nil && http.CanonicalHeaderKey(w.Header) != http.CanonicalHeaderKey(g.r.wire.Signature.Header) {
			req.Header.Set(w.Header, timestamp)
		}
		req.Body = body
		before := g.r.BeforeBody(req.Header, g.v.at())
		_, err := g.r.Verify(req, g.v.at(), g.v.secret())
		if err == nil && (string(body) != g.v.Body || before != nil) {
			t.Errorf("%s passed: %q, %q, %q; before the body: %v", g.v.name, sig, timestamp, body, before)
		}
	})
}

func firstOf(r *Recipe) string {
	if r.wire.Timestamp == nil {
		return ""
	}
	return r.wire.Timestamp.Header
}
