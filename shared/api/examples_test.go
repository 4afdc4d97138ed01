package api

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"hookferry/shared/relay"
)

// operations calls f for each operation of the document.
func (d *apiDocument) operations(f func(method, path string, op map[string]any)) {
	for path, item := range d.doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			f(strings.ToUpper(method), path, op.(map[string]any))
		}
	}
}

// Each call with a body has an example, which fits its schema and is taken.
func TestTheExampleOfEachRequestIsTaken(t *testing.T) {
	d := document(t)
	d.operations(func(method, path string, op map[string]any) {
		request, ok := op["requestBody"].(map[string]any)
		if !ok {
			return
		}
		t.Run(op["operationId"].(string), func(t *testing.T) {
			example, ok := request["content"].(map[string]any)["application/json"].(map[string]any)["example"]
			if !ok {
				t.Fatal("it has no example")
			}
			body, err := json.Marshal(example)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.validate(pointer("paths", path, strings.ToLower(method), "requestBody")+"/content/application~1json/schema", body); err != nil {
				t.Errorf("it does not fit its schema: %v", err)
			}
			if strings.HasPrefix(path, "/in/") {
				return // the receiver's
			}
			w := newWorld(t)
			id := w.createEndpoint()
			attempt := w.record("evt_1", id, relay.AttemptFailed, 0).ID
			if strings.Contains(path, "/sources/") {
				id = w.call("POST", "/api/v1/sources", `{"provider":"sivi","name":"s","sivi_api_key":"the-key-at-Sivi"}`).is(201).text("id")
			}
			r := httptest.NewRequest(method, strings.NewReplacer("{id}", id, "{attempt_id}", attempt).Replace(path), bytes.NewReader(body))
			r.Host = "relay.example.org" // not where the endpoints are
			r.Header.Set("Authorization", "Bearer "+w.key.Reveal())
			r.Header.Set("sivi-api-key", w.key.Reveal())
			r.Header.Set("Content-Type", "application/json")
			if a := w.send(r); a.status >= 300 {
				t.Errorf("%d %s", a.status, a.raw)
			}
		})
	})
}

// A link names an operation, and gives it parameters that it has.
func TestLinksLeadToOperations(t *testing.T) {
	d, parameters, links := document(t), map[string][]string{}, 0
	d.operations(func(_, _ string, op map[string]any) {
		names := []string{}
		params, _ := op["parameters"].([]any)
		for _, p := range params {
			p := p.(map[string]any)
			if ref, ok := p["$ref"].(string); ok {
				var err error
				if p, _, err = d.at(ref); err != nil {
					t.Fatal(err)
				}
			}
			names = append(names, p["name"].(string))
		}
		parameters[op["operationId"].(string)] = names
	})
	d.operations(func(method, path string, op map[string]any) {
		for status, r := range op["responses"].(map[string]any) {
			of, _ := r.(map[string]any)["links"].(map[string]any)
			for name, link := range of {
				links++
				to := link.(map[string]any)["operationId"].(string)
				for param := range link.(map[string]any)["parameters"].(map[string]any) {
					if !slices.Contains(parameters[to], param) {
						t.Errorf("%s %s, %s: link %s gives %q to %s, which takes %q", method, path, status, name, param, to, parameters[to])
					}
				}
			}
		}
	})
	if links < 20 {
		t.Errorf("%d links", links)
	}
}

// What generators of clients cannot do: two components of one name, whatever its
// case and kind; an object of which they would make one that nothing fits.
func TestGeneratorsCanReadTheDocument(t *testing.T) {
	d, names := document(t), map[string]string{}
	for kind, of := range d.doc["components"].(map[string]any) {
		for name := range of.(map[string]any) {
			plain := strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
			if other, taken := names[plain]; taken {
				t.Errorf("%s %s and %s", kind, name, other)
			}
			names[plain] = kind + " " + name
		}
	}
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch x := v.(type) {
		case map[string]any:
			_, named := x["properties"]
			_, said := x["additionalProperties"]
			if x["type"] == "object" && !named && !said {
				t.Errorf("%s: an object of which nothing is said", at)
			}
			for name, c := range x {
				if name != "example" {
					walk(at+"/"+name, c)
				}
			}
		case []any:
			for _, c := range x {
				walk(at, c)
			}
		}
	}
	walk("", d.doc)
}
