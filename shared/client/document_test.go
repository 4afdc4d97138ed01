package client

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// awaited are fields and calls of the contract that the document does not have yet.
var awaited = []string{
	"GET /api/v1/replays", "Replay.succeeded", "Replay.failed", "Replay.skipped", "Replay.open",
	"Endpoint.max_per_second", "Endpoint.max_in_flight", "Attempt.request",
}

type document struct {
	Paths      map[string]map[string]json.RawMessage
	Components struct {
		Schemas map[string]struct {
			Properties map[string]json.RawMessage
		}
	}
}

func readDocument(t *testing.T) document {
	t.Helper()
	raw, err := os.ReadFile("../api/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestEveryCallIsInTheDocument(t *testing.T) {
	d := readDocument(t)
	for _, op := range []operation{
		createEndpoint, listEndpoints, readEndpoint, updateEndpoint, deleteEndpoint, rotateSecret, testEndpoint, listAttempts,
		retryDelivery, createReplay, listReplays, readReplay, cancelReplay, listEvents, readEvent, publishEvent, createSource,
		listSources, readSource, updateSource, deleteSource, rotateToken,
	} {
		if _, ok := d.Paths[op.path][strings.ToLower(op.method)]; !ok && !slices.Contains(awaited, op.method+" "+op.path) {
			t.Errorf("the document has no %s %s", op.method, op.path)
		}
	}
}

func TestEveryFieldIsInTheDocument(t *testing.T) {
	d := readDocument(t)
	for schema, v := range map[string]any{
		"Endpoint": Endpoint{}, "Event": Event{}, "EventDetail": EventDetail{}, "Delivery": Delivery{}, "Attempt": Attempt{},
		"Run": Run{}, "RivyaSource": Source{}, "SiviSource": Source{}, "Replay": Replay{}, "ReplayDryRun": DryRun{},
	} {
		have := d.Components.Schemas[schema].Properties
		if len(have) == 0 {
			t.Errorf("the document has no schema %s with properties", schema)
		}
		for _, name := range fieldNames(reflect.TypeOf(v)) {
			if _, ok := have[name]; !ok && !slices.Contains(awaited, schema+"."+name) {
				t.Errorf("%s has no %s in the document", schema, name)
			}
		}
	}
}

func fieldNames(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			names = append(names, fieldNames(f.Type)...)
			continue
		}
		names = append(names, f.Tag.Get("json"))
	}
	return names
}
