package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"hookferry/shared/relay"
)

var at = time.Date(2026, 5, 11, 0, 0, 0, 123e6, time.UTC)

// schemaOf compiles a type's schema, formats and all, against the meta-schema of
// its draft.
func schemaOf(t *testing.T, typ Type) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(typ.Schema))
	if err != nil {
		t.Fatal(err)
	}
	if got := doc.(map[string]any)["$schema"]; got != "https://json-schema.org/draft/2020-12/schema" {
		t.Errorf("%s: $schema is %v", typ.Name, got)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("mem:"+typ.Name, doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("mem:" + typ.Name)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func lookup(t *testing.T, name string) Type {
	t.Helper()
	typ, ok := Lookup(name)
	if !ok {
		t.Fatalf("%s is not in the catalogue", name)
	}
	return typ
}

func takes(t *testing.T, schema *jsonschema.Schema, body []byte) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return schema.Validate(v)
}

func TestTheCatalogueHasTheFiveTypes(t *testing.T) {
	var got []string
	for _, typ := range Catalogue() {
		got = append(got, typ.Name)
		if again := lookup(t, typ.Name); again.Description != typ.Description || !strings.HasSuffix(typ.Description, ".") {
			t.Errorf("%s: %q", typ.Name, typ.Description)
		}
	}
	want := []string{"generation.succeeded", "generation.failed", "generation.updated", "webhook.test", "endpoint.degraded", "endpoint.recovered", "endpoint.failing", "endpoint.disabled"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"", "generation", "generation.", "Generation.succeeded", "generation.succeeded "} {
		if _, ok := Lookup(name); ok {
			t.Errorf("%q is in the catalogue", name)
		}
	}
	Catalogue()[0].Name = "changed"
	if Catalogue()[0].Name == "changed" {
		t.Error("a caller changed the catalogue")
	}
}

func TestSamplesFitTheirSchemaAndNoOther(t *testing.T) {
	for _, typ := range Catalogue() {
		schema := schemaOf(t, typ)
		for _, other := range Catalogue() {
			err := takes(t, schema, other.Sample)
			if (err == nil) != (other.Name == typ.Name) {
				t.Errorf("schema of %s, sample of %s: %v", typ.Name, other.Name, err)
			}
		}
	}
}

// Every required name of every schema is needed: the sample without it fails.
func TestSchemasMissWhatIsMissing(t *testing.T) {
	for _, typ := range Catalogue() {
		schema := schemaOf(t, typ)
		var sample map[string]any
		if err := json.Unmarshal(typ.Sample, &sample); err != nil {
			t.Fatal(err)
		}
		removed := 0
		var walk func(path string, v map[string]any)
		walk = func(path string, v map[string]any) {
			for name, value := range v {
				if name == "sivi" { // optional, and of any shape
					continue
				}
				delete(v, name)
				removed++
				if b, _ := json.Marshal(sample); takes(t, schema, b) == nil {
					t.Errorf("%s: passes without %s.%s", typ.Name, path, name)
				}
				v[name] = value
				if inner, ok := value.(map[string]any); ok {
					walk(path+"."+name, inner)
				}
			}
		}
		walk("", sample)
		if removed < 10 {
			t.Errorf("%s: only %d names were tried", typ.Name, removed)
		}
		sample["of_tomorrow"] = 1
		if b, _ := json.Marshal(sample); takes(t, schema, b) != nil {
			t.Errorf("%s: a name that is added later does not pass", typ.Name)
		}
	}
}

func TestTheSchemaTakesTheProvidersExample(t *testing.T) {
	example := `{"id":"evt_...","type":"generation.succeeded","api_version":"2026-05-11","created_at":"2026-05-11T00:00:00.000Z",
		"data":{"generation":{"id":"task_public_id","status":"succeeded","model":"z-image","reserved_credits":1,"final_credits":1,
		"created_at":"2026-05-11T00:00:00.000Z","updated_at":"2026-05-11T00:01:00.000Z",
		"result":{"primary_url":"https://example.com/1.png","urls":["https://example.com/1.png"]},"error":null}}}`
	if err := takes(t, schemaOf(t, lookup(t, "generation.succeeded")), []byte(example)); err != nil {
		t.Error(err)
	}
}

func TestBodyKeepsItsDataByteForByte(t *testing.T) {
	data := json.RawMessage("{ \"a\" : 1.50,\n \"b\":\"<\\u00e9\u2028>\", \"a\":2e0 }")
	got := string(Body(`evt_"<1>\`, "order.paid", at, data))
	want := `{"id":"evt_\"<1>\\","type":"order.paid","api_version":"2026-05-11","created_at":"2026-05-11T00:00:00.123Z","data":` + string(data) + `}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := Body("e", "a.b", at.In(time.FixedZone("", 3600)), nil); !bytes.HasSuffix(got, []byte(`00.123Z","data":null}`)) {
		t.Errorf("no data: %s", got)
	}
}

func TestTestBodiesAreTheContracts(t *testing.T) {
	const rivya = `{"id":"evt_1","type":"webhook.test","api_version":"2026-05-11","created_at":"2026-05-11T00:00:00.123Z","data":{"generation":{` +
		`"id":"task_test","status":"succeeded","model":"test","reserved_credits":0,"final_credits":0,` +
		`"created_at":"2026-05-11T00:00:00.123Z","updated_at":"2026-05-11T00:00:00.123Z","result":null,"error":null}}}`
	const sivi = `{"status":200,"body":{"queueWaitTime":null,"status":"test","requestId":"evt_1","designId":null,"link":null,"shareLink":null,"result":null}}`
	for format, want := range map[relay.Format]string{relay.FormatRivya: rivya, relay.FormatSivi: sivi} {
		if got := string(TestBody(format, "evt_1", at)); got != want {
			t.Errorf("%s: got  %s\nwant %s", format, got, want)
		}
	}
	if err := takes(t, schemaOf(t, lookup(t, relay.TypeTest)), TestBody(relay.FormatRivya, "evt_1", at)); err != nil {
		t.Error(err)
	}
}

func TestHealthBodiesFitTheirSchemasAndHideTheURL(t *testing.T) {
	at := time.Date(2026, 5, 11, 0, 0, 0, 123e6, time.UTC)
	ep := relay.Endpoint{ID: "whend_1", Name: "\"Größe\" <1>", URL: "https://example.com/secret", Status: relay.Active}
	down := relay.Counters{LastFailureAt: at, FailureCount: 7, FailingSince: at.Add(-time.Hour)}
	last := relay.Attempt{ID: "att_1", ErrorCode: relay.CodeHTTPError, ErrorMessage: "The endpoint answered with status 500.", HTTPStatus: 500}
	for _, c := range []struct {
		typ    string
		counts relay.Counters
		health relay.Health
		last   relay.Attempt
	}{
		{TypeDegraded, down, relay.Degraded, last},
		{TypeDegraded, down, relay.Failing, relay.Attempt{ID: "att_1", ErrorCode: relay.CodeTimeout}},
		{TypeFailing, down, relay.Failing, relay.Attempt{}},
		{TypeRecovered, relay.Counters{LastSuccessAt: at}, relay.Healthy, last},
	} {
		got := HealthBody("evt_1", c.typ, ep, c.counts, c.health, c.last, at)
		if err := takes(t, schemaOf(t, lookup(t, c.typ)), got); err != nil {
			t.Errorf("%s: %v", got, err)
		}
		if bytes.Contains(got, []byte("secret")) {
			t.Errorf("the URL is in %s", got)
		}
	}
}

func TestDisabledBodyFitsItsSchemaAndHidesTheURL(t *testing.T) {
	for _, reason := range []relay.DisabledReason{relay.DisabledGone, relay.DisabledFailing} {
		ep := relay.Endpoint{ID: "whend_1", Name: `"Größe" <1>`, URL: "https://example.com/secret-path", Secret: "sealed", SecretPreview: "whsec_12...abc123"}
		ep.Disable(reason, at)
		got := DisabledBody("evt_1", ep, at)
		if err := takes(t, schemaOf(t, lookup(t, TypeDisabled)), got); err != nil {
			t.Error(err)
		}
		want := fmt.Sprintf(`{"id":"evt_1","type":"endpoint.disabled","api_version":"2026-05-11","created_at":"2026-05-11T00:00:00.123Z",`+
			`"data":{"endpoint":{"id":"whend_1","object":"webhook_endpoint","name":"\"Größe\" <1>","status":"disabled",`+
			`"disabled_at":"2026-05-11T00:00:00.123Z","disabled_reason":"%s"}}}`, reason)
		if string(got) != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
