package api

import (
	"encoding/json"
	"strings"
	"testing"

	"hookferry/shared/relay"
)

func TestBodiesThatAreRefused(t *testing.T) {
	w := newWorld(t)
	with := func(fields string) string { return strings.TrimSuffix(newEndpoint, "}") + "," + fields + "}" }
	without := func(name string) string {
		var m map[string]any
		if err := json.Unmarshal([]byte(newEndpoint), &m); err != nil {
			t.Fatal(err)
		}
		delete(m, name)
		b, _ := json.Marshal(m)
		return string(b)
	}
	set := func(name, value string) string {
		var m map[string]json.RawMessage
		if err := json.Unmarshal([]byte(newEndpoint), &m); err != nil {
			t.Fatal(err)
		}
		m[name] = json.RawMessage(value)
		b, _ := json.Marshal(m)
		return string(b)
	}
	types := func(n int) string {
		var names []string
		for i := range n {
			names = append(names, `"order.n`+strings.Repeat("x", i)+`"`)
		}
		return "[" + strings.Join(names, ",") + "]"
	}
	for _, c := range []struct{ name, body, param, says string }{
		{"not JSON", `{"name":`, "", "not valid JSON"},
		{"text", `hello`, "", "not valid JSON"},
		{"spaces", `   `, "", "not valid JSON"},
		{"an array", `[]`, "", "JSON object"},
		{"null", `null`, "", "JSON object"},
		{"trailing data", newEndpoint + `{}`, "", "follows"},
		{"trailing bracket", newEndpoint + `]`, "", "follows"},
		{"not UTF-8", "{\"name\":\"\xff\"}", "", "UTF-8"},
		{"too deep", `{"name":` + strings.Repeat("[", 101) + strings.Repeat("]", 101) + `}`, "", "nested"},
		{"depth without end", strings.Repeat(`{"a":`, 20000), "", "nested"},
		{"an unknown field", with(`"evnt_types":[]`), "evnt_types", "evnt_types"},
		{"unknown fields", with(`"x":1,"y":2`), "x", `"x" "y"`},
		{"a name in other case", with(`"Format":"sivi"`), "Format", "Format"},
		{"a field that is ours", with(`"id":"whend_1"`), "id", "cannot be set"},
		{"a secret of one's own", with(`"signing_secret":"whsec_abc"`), "signing_secret", "cannot be set"},
		{"no name", without("name"), "name", "missing"},
		{"no url", without("url"), "url", "missing"},
		{"no types", without("event_types"), "event_types", "missing"},
		{"null name", set("name", `null`), "name", "string"},
		{"a number for a name", set("name", `7`), "name", "string"},
		{"an empty name", set("name", `""`), "name", "1 to 100"},
		{"a blank name", set("name", `"  "`), "name", "blank"},
		{"a long name", set("name", `"`+strings.Repeat("é", 101)+`"`), "name", "1 to 100"},
		{"a name over two lines", set("name", `"a\nb"`), "name", "control"},
		{"a url that is no text", set("url", `["https://example.com"]`), "url", "string"},
		{"no array of types", set("event_types", `"generation.failed"`), "event_types", "array"},
		{"null types", set("event_types", `null`), "event_types", "array"},
		{"no types in it", set("event_types", `[]`), "event_types", "1 to 50"},
		{"too many types", set("event_types", types(51)), "event_types", "1 to 50"},
		{"a type that is no text", set("event_types", `["generation.failed",1]`), "event_types[1]", "string"},
		{"an unknown generation type", set("event_types", `["order.paid","generation.done"]`), "event_types[1]", "generation.done"},
		{"an unknown webhook type", set("event_types", `["webhook.other"]`), "event_types[0]", "webhook.other"},
		{"an unknown endpoint type", set("event_types", `["endpoint.other"]`), "event_types[0]", "endpoint.other"},
		{"one word", set("event_types", `["paid"]`), "event_types[0]", "dots"},
		{"upper case", set("event_types", `["Order.paid"]`), "event_types[0]", "lower-case"},
		{"a wildcard in a name", set("event_types", `["order*"]`), "event_types[0]", "dots"},
		{"an unknown format", with(`"format":"xml"`), "format", "rivya, sivi"},
		{"no signatures", with(`"signatures":[]`), "signatures", "1 to"},
		{"without rivya", with(`"signatures":["standard"]`), "signatures", "rivya"},
		{"an unknown signature", with(`"signatures":["rivya","jws"]`), "signatures[1]", "rivya, standard"},
		{"an unknown source", with(`"source_ids":["src_00000000000000000000000000"]`), "source_ids[0]", "no source"},
		{"no id of a source", with(`"source_ids":["../x"]`), "source_ids[0]", "no source"},
		{"an unknown status", with(`"status":"paused"`), "status", "active, disabled"},
	} {
		a := w.call("POST", "/api/v1/webhooks", c.body).refused(relay.KindValidation, c.param)
		if msg := a.at("error.message").(string); !strings.Contains(msg, c.says) {
			t.Errorf("%s: the message is %q, want it to say %q", c.name, msg, c.says)
		}
	}
	if n := len(w.call("GET", "/api/v1/webhooks", "").is(200).at("data").([]any)); n != 0 {
		t.Errorf("%d endpoints were made by bodies that were refused", n)
	}
}

func TestBodiesThatAreTaken(t *testing.T) {
	w := newWorld(t)
	for name, body := range map[string]string{
		"a name of 100 characters":      strings.Replace(newEndpoint, "Production webhook", strings.Repeat("é", 100), 1),
		"space around":                  "\n\t " + newEndpoint + " \r\n",
		"escapes in a name of a field":  strings.Replace(newEndpoint, `"name"`, `"n\u0061me"`, 1),
		"types that are there twice":    strings.Replace(newEndpoint, `"generation.failed"`, `"generation.succeeded"`, 1),
		"every optional field":          strings.Replace(newEndpoint, "{", `{"format":"sivi","signatures":["standard","rivya"],"source_ids":[],"status":"disabled",`, 1),
		"brackets in a string are none": strings.Replace(newEndpoint, "Production", strings.Repeat("[", 80), 1),
	} {
		a := w.call("POST", "/api/v1/webhooks", body)
		if a.status != 201 {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
	}
	r := w.request(w.key, "POST", "/api/v1/webhooks", newEndpoint)
	r.Header.Set("Content-Type", "application/json; charset=UTF-8")
	w.send(r).is(201)
	r = w.request(w.key, "POST", "/api/v1/webhooks", newEndpoint)
	r.Header.Set("Content-Type", "application/merge-patch+json")
	w.send(r).is(201)
}

func TestQueriesThatAreRefused(t *testing.T) {
	w := newWorld(t)
	id := w.createEndpoint()
	deliveries := "/api/v1/webhooks/" + id + "/deliveries"
	for _, c := range []struct{ method, path, param string }{
		{"GET", "/api/v1/webhooks?limit=101", "limit"},
		{"GET", "/api/v1/webhooks?limit=-1", "limit"},
		{"GET", "/api/v1/webhooks?limit=ten", "limit"},
		{"GET", "/api/v1/webhooks?limit=1&limit=2", "limit"},
		{"GET", "/api/v1/webhooks?page=2", "page"},
		{"GET", "/api/v1/webhooks?limit=%zz", ""},
		{"GET", "/api/v1/webhooks?a;b", ""},
		{"GET", "/api/v1/webhooks/" + id + "?expand=x", "expand"},
		{"GET", deliveries + "?status=ok", "status"},
		{"GET", deliveries + "?final=yes", "final"},
		{"GET", deliveries + "?event_id=%0A", "event_id"},
		{"GET", "/api/v1/webhook-events?status=done", "status"},
		{"GET", "/api/v1/webhook-events?type=*", "type"},
		{"GET", "/api/v1/webhook-events?source_id=x", "source_id"},
		{"GET", "/api/v1/webhook-events?since=yesterday", "since"},
		{"GET", "/api/v1/webhook-events?since=2026-05-11", "since"},
		{"GET", "/api/v1/webhook-events?since=0001-01-01T00:00:00Z", "since"},
		{"GET", "/api/v1/webhook-events?until=2026-05-11T00:00:00", "until"},
		{"GET", "/api/v1/webhook-events?since=2026-05-11T00:00:00Z&until=2026-05-11T00:00:00Z", "until"},
		{"POST", "/api/v1/webhooks/" + id + "/replay?dry_run=1", "dry_run"},
		{"POST", "/api/v1/webhooks/" + id + "/replay?dryrun=true", "dryrun"},
		{"DELETE", "/api/v1/webhooks/" + id + "?force=true", "force"},
		{"GET", "/api/v1/webhook-events?until=", "until"},
		{"GET", deliveries + "?status=", "status"},
		{"GET", "/api/v1/webhooks?limit=", "limit"},
		{"GET", "/api/v1/webhooks?\u202e=1", `\u202e`},
	} {
		body := ""
		if c.method == "POST" {
			body = `{"since":"2026-05-01T00:00:00Z"}`
		}
		w.call(c.method, c.path, body).refused(relay.KindValidation, c.param)
	}
	w.call("GET", deliveries+"?cursor=", "").is(200)
	w.call("GET", "/api/v1/webhook-events?since=2026-05-11T02:00:00%2B02:00&until=2026-05-11T00:00:00.001Z", "").is(200)
	if len(queued(t, w.retries)) != 0 || w.stored(id).Deleted() {
		t.Error("a refused call did something")
	}
}

func TestAFieldThatIsGivenTwiceIsRefusedByItsName(t *testing.T) {
	w := newWorld(t)
	for body, param := range map[string]string{
		strings.Replace(newEndpoint, "{", `{"name":"x",`, 1):      "name",
		strings.Replace(newEndpoint, "{", `{"url":null,`, 1):      "url",
		strings.Replace(newEndpoint, "{", `{"n\u0061me":"x",`, 1): "name",
		`{"\u001b[31m":1,"\u001b[31m":2}`:                         `\u001b[31m`,
	} {
		w.call("POST", "/api/v1/webhooks", body).refused(relay.KindValidation, param)
	}
	w.call("POST", "/api/v1/webhook-events", `{"type":"a.b","data":{},"type":"c.d"}`).refused(relay.KindValidation, "type")
}

func TestAWholeNumberMayBeWrittenInEachOfItsForms(t *testing.T) {
	w := newWorld(t)
	id := w.createEndpoint()
	for _, n := range []string{"1068.0", "1e2", "0.5e1", "604800.000", "-0", "1E+2"} {
		w.call("POST", "/api/v1/webhooks/"+id+"/rotate-secret", `{"overlap_seconds":`+n+`}`).is(200)
	}
	for _, n := range []string{"0.5", "1e-1", "1e300", "604801", "-1", `"7"`, "null", "true", "1e999999999", "604800.0000001", "5.00000000000000000001", "1e-40"} {
		w.call("POST", "/api/v1/webhooks/"+id+"/rotate-secret", `{"overlap_seconds":`+n+`}`).refused(relay.KindValidation, "overlap_seconds")
	}
}

func TestTwoKeysAreNone(t *testing.T) {
	w := newWorld(t)
	for name, values := range map[string][]string{
		"the same twice":    {"Bearer " + w.key.Reveal(), "Bearer " + w.key.Reveal()},
		"right, then wrong": {"Bearer " + w.key.Reveal(), "Bearer x"},
		"empty, then right": {"", "Bearer " + w.key.Reveal()},
		"joined":            {"Bearer " + w.key.Reveal() + ", Bearer " + w.key.Reveal()},
	} {
		r := w.request(w.key, "GET", "/api/v1/webhooks", "")
		r.Header["Authorization"] = values
		if a := w.send(r); a.status != 401 {
			t.Errorf("%s: %d", name, a.status)
		}
	}
	r := w.request(w.key, "POST", "/general/update-webhook", `{"webhookUrl":"https://example.com/x"}`)
	r.Header["Sivi-Api-Key"] = []string{w.key.Reveal(), w.key.Reveal()}
	if a := w.send(r); a.status != 401 {
		t.Errorf("two sivi-api-key headers: %d", a.status)
	}
}

func TestANameHidesNothing(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a\u202eb", "a\u2066b", "a\u2028b", "a\u0085b", "a\tb"} {
		body, err := json.Marshal(map[string]any{"name": name, "url": "https://example.com/hook", "event_types": []string{"*"}})
		if err != nil {
			t.Fatal(err)
		}
		w.call("POST", "/api/v1/webhooks", string(body)).refused(relay.KindValidation, "name")
	}
}
