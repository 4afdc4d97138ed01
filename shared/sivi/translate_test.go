package sivi

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var received = time.Date(2026, 5, 11, 0, 0, 1, 2_000_000, time.UTC)

// TestEachRowOfTheTable translates testdata/*.in.json and compares with the
// golden file beside it, byte for byte.
func TestEachRowOfTheTable(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*.in.json")
	if err != nil || len(inputs) < 11 {
		t.Fatalf("got %d inputs, %v", len(inputs), err)
	}
	for _, path := range inputs {
		name := strings.TrimSuffix(filepath.Base(path), ".in.json")
		t.Run(name, func(t *testing.T) {
			body, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Parse(body)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Translate(relay.Event{ID: "evt_" + name, Type: c.Type, CreatedAt: received}, body)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".golden.json")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			checkTranslation(t, c, body, got)
		})
	}
}

// checkTranslation checks what holds for every translation.
func checkTranslation(t *testing.T, c Call, body, got []byte) {
	t.Helper()
	if !bytes.Contains(got, body) {
		t.Errorf("data.sivi is not Sivi's body byte for byte: %s", got)
	}
	var ev struct {
		ID         string
		Type       string
		APIVersion string `json:"api_version"`
		CreatedAt  string `json:"created_at"`
		Data       struct {
			Generation map[string]json.RawMessage
			Sivi       json.RawMessage
		}
	}
	if err := json.Unmarshal(got, &ev); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, got)
	}
	if ev.Type != c.Type || ev.APIVersion != relay.APIVersion || ev.CreatedAt != relay.FormatTime(received) {
		t.Errorf("got type %q, version %q, created %q", ev.Type, ev.APIVersion, ev.CreatedAt)
	}
	g := ev.Data.Generation
	want := []string{"id", "status", "model", "reserved_credits", "final_credits", "created_at", "updated_at", "result", "error"}
	for _, field := range want {
		if _, ok := g[field]; !ok {
			t.Errorf("data.generation has no %s", field)
		}
	}
	if len(g) != len(want) {
		t.Errorf("data.generation has %d fields, want %d", len(g), len(want))
	}
	for _, field := range []string{"model", "reserved_credits", "final_credits"} {
		if string(g[field]) != "null" {
			t.Errorf("%s is %s, want null", field, g[field])
		}
	}
	if failed := c.Type == TypeFailed; failed == (string(g["error"]) == "null") {
		t.Errorf("type %s with error %s", c.Type, g["error"])
	}
}

// FuzzSivi: whatever Parse takes can be named and translated, and nothing panics.
func FuzzSivi(f *testing.F) {
	inputs, _ := filepath.Glob("testdata/*.in.json")
	for _, path := range inputs {
		body, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	for _, body := range refused {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := Parse(body)
		if err != nil {
			if c != (Call{}) {
				t.Fatalf("an error and a call: %+v", c)
			}
			return
		}
		if c.RequestID == "" || c.Status == "" || !relay.ValidEventType(c.Type) || !relay.ValidEventID(EventID("src_1", c, body)) {
			t.Fatalf("got %+v", c)
		}
		got, err := Translate(relay.Event{ID: "evt_1", Type: c.Type, CreatedAt: received}, body)
		if err != nil {
			t.Fatalf("translate: %v", err)
		}
		checkTranslation(t, c, body, got)
	})
}

func BenchmarkParse(b *testing.B) {
	body := sample(b)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := Parse(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTranslate(b *testing.B) {
	body := sample(b)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := Translate(relay.Event{ID: "evt_1", Type: TypeSucceeded, CreatedAt: received}, body); err != nil {
			b.Fatal(err)
		}
	}
}

func sample(tb testing.TB) []byte {
	body, err := os.ReadFile("testdata/complete.in.json")
	if err != nil {
		tb.Fatal(err)
	}
	return body
}
