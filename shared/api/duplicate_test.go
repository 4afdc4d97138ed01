package api

import (
	"strings"
	"testing"

	"hookferry/shared/relay"
)

// A name that is given twice is refused in every call and at every depth, by
// where it stands: readers of one body must not differ.
func TestANameThatIsGivenTwiceIsRefusedAnywhere(t *testing.T) {
	w := newWorld(t)
	ep := w.createEndpoint()
	twice := func(body string) string { return strings.Replace(body, "{", `{"name":"a","name":"b",`, 1) }
	for _, c := range []struct{ method, path, body, param string }{
		{"POST", "/api/v1/webhooks", twice(newEndpoint), "name"},
		{"PATCH", "/api/v1/webhooks/" + ep, `{"name":"a","n\u0061me":"b"}`, "name"},
		{"POST", "/api/v1/sources", twice(`{"provider":"rivya"}`), "name"},
		{"POST", "/api/v1/api-keys", `{"name":"a","scopes":["webhooks:read"],"scopes":["webhooks:manage"]}`, "scopes"},
		{"POST", "/api/v1/webhook-events", `{"type":"a.b","type":"c.d","data":{}}`, "type"},
		{"POST", "/api/v1/webhook-events", `{"type":"a.b","data":{"n":1,"n":2}}`, "data.n"},
		{"POST", "/api/v1/webhook-events", `{"type":"a.b","data":{"list":[{"n":1},{"n":1,"m":[{"x":0,"x":0}]}]}}`, "data.list[1].m[0].x"},
		{"PATCH", "/api/v1/webhooks/" + ep, `{"filter":{"type":["a"],"type":["b"]}}`, "filter.type"},
	} {
		w.call(c.method, c.path, c.body).refused(relay.KindValidation, c.param)
	}
	w.call("POST", "/api/v1/webhook-events", `{"type":"a.b","data":{"list":[{"n":1},{"n":1}],"n":{"n":1},"N":2}}`).is(202)
}
