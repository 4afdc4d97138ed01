package main

import (
	"bytes"
	"context"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"hookferry/shared/relay"
)

func TestWhatStrangersSendDoesNotSteerTheTerminal(t *testing.T) {
	var out bytes.Buffer
	l := &listener{view: view{out: &out}, prefix: "Rivya", respond: []int{200}, done: make(chan struct{})}
	r := httptest.NewRequest("POST", "/", strings.NewReader(`{"type":"\u001b]0;owned\u0007\nforged line","x":"\u009b2J\u202e"}`))
	r.Header["Rivya-Webhook-Id"] = []string{"evt_\x9b2J"}
	l.ServeHTTP(httptest.NewRecorder(), r)
	if strings.ContainsAny(out.String(), "\x1b\x07\u009b\u202e") || strings.Contains(out.String(), "\nforged") {
		t.Errorf("printed %q", out.String())
	}
	if !strings.Contains(out.String(), `\u001b]0;owned`) {
		t.Errorf("what was sent is not shown: %q", out.String())
	}
}

// A dead letter may hold anything, and a reason may quote it.
func TestADeadLetterIsShownWithoutActing(t *testing.T) {
	var out bytes.Buffer
	for _, body := range []string{"{\"k\":\"\u009b2J\u202e\x7f\"}", "\x1b[2J\u009b"} {
		if err := showDead(program{out: &out}, "events", relay.DeadLetter{ID: "1", Reason: "bad \u009b2J\x7f", Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	if strings.ContainsAny(out.String(), "\x1b\x7f\u009b\u202e") {
		t.Errorf("printed %q", out.String())
	}
}

func TestNamesAreHeldToWhatTheAPITakes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for _, args := range [][]string{
		{"-account", "a\x1b[2J"},
		{"-account", "two\nlines"},
		{"-account", "\xff"},
		{"-account", " a"},
		{"-account", strings.Repeat("é", 101)},
		{"-account", "a", "-name", "\x1b[2J"},
		{"-account", "a", "-name", ""},
	} {
		p := program{out: new(bytes.Buffer), err: new(bytes.Buffer), lookup: func(string) (string, bool) { return "", false }}
		if code := run(context.Background(), p, append([]string{"keys", "create", "-data", dir}, args...)); code == 0 {
			t.Errorf("%q: no error", args)
		}
	}
	output(t, nil, "keys", "create", "-data", dir, "-account", strings.Repeat("é", 100), "-name", "für mich")
}
