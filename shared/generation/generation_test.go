package generation

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"hookferry/events"
	"hookferry/shared/rawjson"
	"hookferry/shared/relay"
)

var at = time.Date(2026, 5, 11, 0, 0, 0, 0, time.UTC)

func event(t testing.TB, provider, body string) relay.Event {
	t.Helper()
	typ, err := Type(provider, []byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return relay.Event{ID: "msg_1", Type: typ, CreatedAt: at}
}

// valid fails unless the body fits the catalogue's schema of its type.
func valid(t testing.TB, typ string, body []byte) {
	t.Helper()
	known, ok := events.Lookup(typ)
	if !ok {
		t.Fatalf("no type %s in the catalogue", typ)
	}
	schema, err := jsonschema.UnmarshalJSON(strings.NewReader(string(known.Schema)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("type.json", schema); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("type.json")
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(body)))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if err := compiled.Validate(value); err != nil {
		t.Errorf("%s: %v", body, err)
	}
}

func TestGenerationsOfKnownProviders(t *testing.T) {
	const received = `"created_at":"2026-05-11T00:00:00.000Z","updated_at":"2026-05-11T00:00:00.000Z"`
	const nothing = `"reserved_credits":null,"final_credits":null`
	for _, c := range []struct{ provider, body, typ, want string }{
		{
			"replicate",
			`{"id":"p1","model":"acme/flux","status":"succeeded","created_at":"2026-05-10T23:59:58.765994Z","completed_at":"2026-05-11T00:00:01Z","output":["https://r.example/a.png?x=1&y=2","https://r.example/b.png"],"error":null}`,
			TypeSucceeded,
			`{"id":"p1","status":"succeeded","model":"acme/flux",` + nothing + `,"created_at":"2026-05-10T23:59:58.765Z","updated_at":"2026-05-11T00:00:01.000Z","result":{"primary_url":"https://r.example/a.png?x=1&y=2","urls":["https://r.example/a.png?x=1&y=2","https://r.example/b.png"]},"error":null}`,
		},
		{
			"replicate", `{"id":"p1","status":"succeeded","output":"https://r.example/a.mp4"}`, TypeSucceeded,
			`{"id":"p1","status":"succeeded","model":null,` + nothing + `,` + received + `,"result":{"primary_url":"https://r.example/a.mp4","urls":["https://r.example/a.mp4"]},"error":null}`,
		},
		{
			"replicate", `{"id":"p1","status":"succeeded","output":["Once"," upon a time"," javascript:x"],"created_at":"yesterday"}`, TypeSucceeded,
			`{"id":"p1","status":"succeeded","model":null,` + nothing + `,` + received + `,"result":null,"error":null}`,
		},
		{
			"replicate", `{"id":"p1","status":"failed","error":"CUDA <out of memory>","output":null}`, TypeFailed,
			`{"id":"p1","status":"failed","model":null,` + nothing + `,` + received + `,"result":null,"error":{"code":"generation_failed","message":"CUDA <out of memory>"}}`,
		},
		{
			"replicate", `{"id":"p1","status":"canceled","error":null,"output":["https://r.example/half.png"]}`, TypeFailed,
			`{"id":"p1","status":"failed","model":null,` + nothing + `,` + received + `,"result":null,"error":{"code":"generation_failed","message":"The provider gave no reason; its status is \"canceled\"."}}`,
		},
		{
			"replicate", `{"id":"p1","status":"processing"}`, TypeUpdated,
			`{"id":"p1","status":"processing","model":null,` + nothing + `,` + received + `,"result":null,"error":null}`,
		},
		{
			"fal", `{"request_id":"r1","gateway_request_id":"r1","status":"OK","payload":{"images":[{"url":"https://f.example/1.png","width":1},{"url":"https://f.example/2.png"}],"seed":1}}`, TypeSucceeded,
			`{"id":"r1","status":"succeeded","model":null,` + nothing + `,` + received + `,"result":{"primary_url":"https://f.example/1.png","urls":["https://f.example/1.png","https://f.example/2.png"]},"error":null}`,
		},
		{
			"fal", `{"request_id":"r1","status":"OK","payload":{"video":{"url":"https://f.example/1.mp4"}}}`, TypeSucceeded,
			`{"id":"r1","status":"succeeded","model":null,` + nothing + `,` + received + `,"result":{"primary_url":"https://f.example/1.mp4","urls":["https://f.example/1.mp4"]},"error":null}`,
		},
		{
			"fal", `{"request_id":"r1","status":"ERROR","error":"Invalid status code: 422","payload":{"detail":[{"loc":["body"],"msg":"field required"}]}}`, TypeFailed,
			`{"id":"r1","status":"failed","model":null,` + nothing + `,` + received + `,"result":null,"error":{"code":"generation_failed","message":"Invalid status code: 422"}}`,
		},
		{
			"fal", `{"request_id":"r1","status":"ERROR","payload":{"detail":[{"msg":"field required"}]}}`, TypeFailed,
			`{"id":"r1","status":"failed","model":null,` + nothing + `,` + received + `,"result":null,"error":{"code":"generation_failed","message":"field required"}}`,
		},
		{
			"fal", `{"request_id":"r1","status":"OK","payload":null,"payload_error":"too large"}`, TypeSucceeded,
			`{"id":"r1","status":"succeeded","model":null,` + nothing + `,` + received + `,"result":null,"error":null}`,
		},
	} {
		ev := event(t, c.provider, c.body)
		got, err := Translate(c.provider, ev, []byte(c.body))
		if err != nil {
			t.Fatal(err)
		}
		want := `{"id":"msg_1","type":"` + c.typ + `","api_version":"2026-05-11","created_at":"2026-05-11T00:00:00.000Z","data":{"generation":` + c.want + `,"` + c.provider + `":` + c.body + `}}`
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s: -want +got\n%s", c.body, diff)
		}
		valid(t, c.typ, got)
	}
}

func TestWhatIsNoGeneration(t *testing.T) {
	for body, want := range map[string]error{
		`{}`: ErrNone, `{"id":"x"}`: ErrNone, `{"status":"succeeded"}`: ErrNone, `{"id":1,"status":"succeeded"}`: ErrNone, `[]`: ErrNone, `{"id":"","status":"s"}`: ErrNone,
		`{`: rawjson.ErrInvalid, `{"id":"x","id":"y","status":"s"}`: rawjson.ErrDuplicate, `{"id":"x","status":"failed","status":"succeeded"}`: rawjson.ErrDuplicate,
	} {
		if _, err := Type("replicate", []byte(body)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", body, err, want)
		}
	}
	if _, err := Translate("nobody", relay.Event{}, []byte(`{}`)); err == nil || Known("nobody") {
		t.Error("a provider that nobody knows is translated")
	}
}

// Results are bounded, and a field that is there twice gives none.
func TestHostileResults(t *testing.T) {
	many := `{"id":"p","status":"succeeded","output":[` + strings.TrimSuffix(strings.Repeat(`"https://r.example/a",`, 2000), ",") + `]}`
	twice := `{"id":"p","status":"succeeded","output":["https://r.example/a"],"output":["https://r.example/b"]}`
	long := `{"id":"p","status":"failed","error":"` + strings.Repeat("é", 5000) + `"}`
	for body, check := range map[string]func(g generation) bool{
		many:  func(g generation) bool { return len(g.Result.URLs) == maxURLs },
		twice: func(g generation) bool { return g.Result == nil },
		long:  func(g generation) bool { return len(g.Error.Message) == maxMessage },
	} {
		got, err := Translate("replicate", event(t, "replicate", body), []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		var w struct {
			Data struct{ Generation generation }
		}
		if err := json.Unmarshal(got, &w); err != nil || !check(w.Data.Generation) {
			t.Errorf("%.80s: %v, %.200s", body, err, got)
		}
	}
}

// Whatever a body is, what Type takes is translated to valid JSON that has it.
func FuzzTranslate(f *testing.F) {
	for _, body := range []string{
		`{"id":"p","status":"succeeded","output":["https://r.example/a",[],{}],"error":{}}`,
		`{"request_id":"r","status":"OK","payload":{"images":[{"url":"https://f.example/1"},1,null]}}`, `[]`, `{"id":null}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, provider := range Providers() {
			typ, err := Type(provider, body)
			if err != nil {
				continue
			}
			got, err := Translate(provider, relay.Event{ID: "m", Type: typ, CreatedAt: at}, body)
			if err != nil || !json.Valid(got) || !strings.Contains(string(got), string(body)) {
				t.Fatalf("%s: %q: %v, %s", provider, body, err, got)
			}
		}
	})
}
