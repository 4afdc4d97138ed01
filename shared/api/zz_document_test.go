package api

import (
	"encoding/json"
	"flag"
	"strings"
	"testing"
)

// took notes which fields a body had that was taken.
func (d *apiDocument) took(operation string, body []byte) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.taken[operation] == nil {
		d.taken[operation] = map[string]bool{}
	}
	for name := range fields {
		d.taken[operation][name] = true
	}
}

// It is the last test of the package, and looks at what the others have sent:
// each body that was taken fits the document, and each field of the document was
// in one. So a field that is missing from either side fails.
func TestEveryFieldOfARequestWasTaken(t *testing.T) {
	if flag.Lookup("test.run").Value.String() != "" || flag.Lookup("test.skip").Value.String() != "" || testing.Short() {
		t.Skip("not all tests were run, so not every field was sent")
	}
	d := document(t)
	for _, rt := range routes() {
		operation := rt.method + " " + rt.path
		schema, _, err := d.at(pointer("paths", rt.path, strings.ToLower(rt.method), "requestBody", "content", "application/json", "schema"))
		if err != nil {
			continue // it takes no body
		}
		properties, _ := schema["properties"].(map[string]any)
		for name := range properties {
			if !d.taken[operation][name] {
				t.Errorf("%s: no test sends %s and is answered that it was taken", operation, name)
			}
		}
	}
}
