package receiver

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"hookferry/shared/recipe"
	"hookferry/shared/relay"
)

// TestTheAnswersAreTheDocumentedOnes holds the receiver against the document that
// package api serves.
func TestTheAnswersAreTheDocumentedOnes(t *testing.T) {
	text, err := os.ReadFile("../api/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	const rivya, sivi = "/in/{source}", "/in/{source}/{token}"
	stale := start.Add(-time.Hour)
	slack := readVector(t, vectorDir+"slack.json")
	challenge := func(body string) *http.Request {
		rec, err := recipe.Parse([]byte(`{"preset":"slack"}`))
		if err != nil {
			t.Fatal(err)
		}
		req := rec.Sample()
		req.Body = []byte(body)
		_, _ = rec.Compute(req)
		r := post("/in/src_sample", body)
		r.Header = req.Header
		return r
	}
	slack.Secret, slack.Now = "a public sample secret for samples only", recipe.SampleTime().Unix()
	for _, c := range []struct {
		path   string
		call   *http.Request
		broken bool // the queue is
		status int
	}{
		{rivya, challenge(`{"event_id":"e","event":{"type":"message"}}`), false, 200},
		{rivya, challenge(`{"challenge":"x"}`), false, 200},
		{rivya, challenge(`{"event":{"type":"message"}}`), false, 400},
		{rivya, post("/in/src_sample", `{}`), false, 401},
		{rivya, signed(t, "src_rivya", rivyaBody, start, rivyaSecret), false, 200},
		{rivya, signed(t, "src_rivya", "[]", start, rivyaSecret), false, 400},
		{rivya, post("/in/src_rivya", rivyaBody), false, 401},
		{rivya, signed(t, "src_rivya", rivyaBody, stale, rivyaSecret), false, 401},
		{rivya, signed(t, "src_unknown", rivyaBody, start, rivyaSecret), false, 404},
		{rivya, signed(t, "src_rivya", strings.Repeat(" ", relay.MaxPayload+1), start, rivyaSecret), false, 413},
		{rivya, signed(t, "src_rivya", rivyaBody, start, rivyaSecret), true, 503},
		{sivi, post(siviPath("src_sivi", siviToken), siviBody), false, 200},
		{sivi, post(siviPath("src_sivi", siviToken), "{}"), false, 400},
		{sivi, post("/in/src_sivi/wrong", siviBody), false, 401},
		{sivi, post(siviPath("src_unknown", siviToken), siviBody), false, 404},
		{sivi, post(siviPath("src_sivi", siviToken), strings.Repeat(" ", relay.MaxPayload+1)), false, 413},
		{sivi, post(siviPath("src_sivi", siviToken), siviBody), true, 503},
	} {
		b := newBench(t)
		if c.call.URL.Path == "/in/src_sample" {
			b = recipeBench(t, slack)
		}
		if c.broken {
			b.sendErr = context.DeadlineExceeded
		}
		w := b.do(c.call)
		pointer := fmt.Sprintf("openapi.json#/paths/%s/post/responses/%d/content/application~1json/schema", url.PathEscape(strings.ReplaceAll(c.path, "/", "~1")), c.status)
		schema, err := compiler.Compile(pointer)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
			if w.Code != c.status || w.Body.String() != "x" {
				t.Errorf("a challenge got %d %s", w.Code, w.Body)
			}
			continue
		}
		body, err := jsonschema.UnmarshalJSON(w.Body)
		if err != nil || w.Code != c.status {
			t.Errorf("%s: got %d %v, want %d", c.path, w.Code, err, c.status)
		} else if err := schema.Validate(body); err != nil {
			t.Errorf("%s %d: %v", c.path, c.status, err)
		}
	}

	at := func(keys ...string) any {
		v := doc
		for _, k := range keys {
			v = v.(map[string]any)[k]
		}
		return v
	}
	var known, listed []string
	for kind := range maps.Keys(statuses) {
		known = append(known, string(kind))
	}
	for _, code := range at("components", "schemas", "ReceiverError", "properties", "error", "properties", "code", "enum").([]any) {
		listed = append(listed, code.(string))
	}
	slices.Sort(known)
	slices.Sort(listed)
	if diff := cmp.Diff(known, listed); diff != "" {
		t.Errorf("error codes (-) and the document's (+) differ:\n%s", diff)
	}
}
