package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	pathpkg "path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"hookferry/shared/relay"
)

// apiDocument holds calls against openapi.json.
type apiDocument struct {
	doc      map[string]any
	mux      *http.ServeMux
	compiler *jsonschema.Compiler
	mu       sync.Mutex
	schemas  map[string]*jsonschema.Schema
	taken    map[string]map[string]bool // the fields of bodies that were taken, by operation
}

var loadDocument = sync.OnceValues(func() (*apiDocument, error) {
	d := &apiDocument{mux: http.NewServeMux(), compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}, taken: map[string]map[string]bool{}}
	if err := json.Unmarshal(openAPIDocument, &d.doc); err != nil {
		return nil, err
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(openAPIDocument))
	if err != nil {
		return nil, err
	}
	// A client must bear new fields; a test must not.
	closeObjects(parsed)
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource("openapi.json", parsed); err != nil {
		return nil, err
	}
	for _, rt := range routes() {
		d.mux.HandleFunc(rt.method+" "+rt.path, func(http.ResponseWriter, *http.Request) {})
	}
	return d, nil
})

func document(t testing.TB) *apiDocument {
	t.Helper()
	d, err := loadDocument()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func closeObjects(v any) {
	switch x := v.(type) {
	case map[string]any:
		_, named := x["properties"].(map[string]any)
		if _, said := x["additionalProperties"]; named && !said && x["description"] != "Other fields are ignored." {
			x["additionalProperties"] = false
		}
		for _, c := range x {
			closeObjects(c)
		}
	case []any:
		for _, c := range x {
			closeObjects(c)
		}
	}
}

func pointer(parts ...string) string {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	s := "#"
	for _, p := range parts {
		s += "/" + escape.Replace(p)
	}
	return s
}

// at returns what a pointer names, a reference followed, and the pointer that
// names it in the end.
func (d *apiDocument) at(ptr string) (map[string]any, string, error) {
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	v := any(d.doc)
	for _, p := range strings.Split(strings.TrimPrefix(ptr, "#/"), "/") {
		m, ok := v.(map[string]any)
		if v = m[unescape.Replace(p)]; !ok || v == nil {
			return nil, "", fmt.Errorf("openapi.json has no %s", ptr)
		}
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, "", fmt.Errorf("%s is no object", ptr)
	}
	if ref, ok := m["$ref"].(string); ok {
		return d.at(ref)
	}
	return m, ptr, nil
}

func (d *apiDocument) validate(ptr string, body []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	sch := d.schemas[ptr]
	if sch == nil {
		var err error
		if sch, err = d.compiler.Compile("openapi.json" + ptr); err != nil {
			return err
		}
		d.schemas[ptr] = sch
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return sch.Validate(v)
}

// check fails the test if the answer is not one that the document has for the
// call; the body of a call that was taken must fit, too.
func (d *apiDocument) check(t testing.TB, r *http.Request, asked []byte, a *reply) {
	t.Helper()
	_, pattern := d.mux.Handler(r)
	method, path, ok := strings.Cut(pattern, " ")
	if !ok || pathpkg.Clean(r.URL.EscapedPath()) != r.URL.EscapedPath() || a.status == http.StatusMethodNotAllowed || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		if err := d.validate("#/components/schemas/Error", []byte(a.raw)); err != nil {
			t.Errorf("%s: %d is not the error body: %v", a.what, a.status, err)
		}
		return
	}
	op := []string{"paths", path, strings.ToLower(method)}
	_, ptr, err := d.at(pointer(append(op, "responses", fmt.Sprint(a.status))...))
	if err != nil {
		t.Errorf("%s: %v", a.what, err)
		return
	}
	if err := d.validate(ptr+"/content/application~1json/schema", []byte(a.raw)); err != nil {
		t.Errorf("%s: the %d answer is not the documented one: %v\n%s", a.what, a.status, err, a.raw)
	}
	if a.status < 300 && len(asked) > 0 {
		if err := d.validate(pointer(append(op, "requestBody")...)+"/content/application~1json/schema", asked); err != nil {
			t.Errorf("%s took a body that is not the documented one: %v\n%s", a.what, err, asked)
		}
		d.took(pattern, asked)
	}
}

func TestEveryRouteIsInTheDocumentAndTheReverse(t *testing.T) {
	d := document(t)
	var routed, documented []string
	for _, rt := range routes() {
		query := slices.Clone(rt.query)
		slices.Sort(query)
		routed = append(routed, fmt.Sprintf("%s %s scope %q query %q", rt.method, rt.path, rt.scope, query))
	}
	// Those of the receiver, whose tests hold its answers against the document.
	for _, path := range []string{"/in/{source}", "/in/{source}/{token}"} {
		routed = append(routed, fmt.Sprintf("POST %s scope %q query %q", path, "", []string{}))
	}
	for path, item := range d.doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			op := op.(map[string]any)
			scope, query := relay.Scope(""), []string{}
			for _, alternative := range op["security"].([]any) {
				if scopes, ok := alternative.(map[string]any)["apiKey"].([]any); ok {
					scope = anyScope
					if len(scopes) > 0 {
						scope = relay.Scope(scopes[0].(string))
					}
				}
			}
			params, _ := op["parameters"].([]any)
			for _, p := range params {
				p := p.(map[string]any)
				if ref, ok := p["$ref"].(string); ok {
					var err error
					if p, _, err = d.at(ref); err != nil {
						t.Fatal(err)
					}
				}
				if p["in"] == "query" {
					query = append(query, p["name"].(string))
				}
			}
			slices.Sort(query)
			documented = append(documented, fmt.Sprintf("%s %s scope %q query %q", strings.ToUpper(method), path, scope, query))
		}
	}
	slices.Sort(routed)
	slices.Sort(documented)
	if diff := cmp.Diff(routed, documented); diff != "" {
		t.Errorf("routes (-) and openapi.json (+) differ:\n%s", diff)
	}
}

func TestTheDocumentIsSound(t *testing.T) {
	d := document(t)
	var schema map[string]any
	if err := json.Unmarshal(openAPIDocument, &schema); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch x := v.(type) {
		case map[string]any:
			if ref, ok := x["$ref"].(string); ok {
				used[ref] = true
				if _, _, err := d.at(ref); err != nil {
					t.Error(err)
				}
			}
			for _, c := range x {
				walk(c)
			}
		case []any:
			for _, c := range x {
				walk(c)
			}
		}
	}
	walk(schema)
	for _, kind := range []string{"schemas", "responses", "parameters", "headers"} {
		for name := range d.doc["components"].(map[string]any)[kind].(map[string]any) {
			ptr := pointer("components", kind, name)
			if kind == "schemas" {
				if _, err := d.compiler.Compile("openapi.json" + ptr); err != nil {
					t.Errorf("%s: %v", ptr, err)
				}
			}
			if !used[ptr] && name != "MethodNotAllowed" {
				t.Errorf("%s is used by nothing", ptr)
			}
		}
	}
	codes, _, err := d.at("#/components/schemas/Error/properties/error/properties/code")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, c := range codes["enum"].([]any) {
		listed = append(listed, c.(string))
	}
	slices.Sort(listed)
	var known []string
	for kind := range maps.Keys(statuses) {
		known = append(known, string(kind))
	}
	slices.Sort(known)
	if diff := cmp.Diff(known, listed); diff != "" {
		t.Errorf("error codes (-) and the document's (+) differ:\n%s", diff)
	}
	ids := map[string]bool{}
	for path, item := range d.doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			id, _ := op.(map[string]any)["operationId"].(string)
			if id == "" || ids[id] {
				t.Errorf("%s %s: operationId %q is empty or taken", method, path, id)
			}
			ids[id] = true
		}
	}
}

func TestTheDocumentNeedsNoKey(t *testing.T) {
	w := newWorld(t)
	a := w.callAs("", "GET", "/api/v1/openapi.json", "").is(200)
	if a.raw != string(openAPIDocument) {
		t.Error("the answer is not the document")
	}
	a.equal(map[string]any{"openapi": "3.1.0"})
}
