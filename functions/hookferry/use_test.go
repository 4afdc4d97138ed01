package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"hookferry/shared/client"
)

// on returns the environment in which commands use a relay.
func on(r *relayProc) map[string]string {
	return map[string]string{"HOOKFERRY_URL": r.API, "HOOKFERRY_API_KEY": r.Key}
}

// ok runs a command line that must succeed and returns what it prints.
func ok(t testing.TB, env map[string]string, line ...string) string {
	t.Helper()
	code, stdout, stderr := cli(t, env, line...)
	if code != 0 {
		t.Fatalf("hookferry %v: exit %d, %s", line, code, stderr)
	}
	return stdout
}

// What became of an event is told without a browser: of one that failed, one that
// nobody wanted, one that was sent again.
func TestTheStoryOfAnEventIsTold(t *testing.T) {
	t.Parallel()
	r := dev(t, start{env: []string{"RETRY_SCHEDULE=0s"}})
	env := on(r)
	answers := make(chan int, 4)
	dest := newDestination(t, func(int, delivery) int { return <-answers })
	answers <- 500
	made := ok(t, env, "endpoints", "create", "-name", "Orders", "-url", dest.URL, "-types", "order.paid", "-json")
	var ep client.Endpoint
	if err := json.Unmarshal([]byte(made), &ep); err != nil || ep.SigningSecret == "" {
		t.Fatalf("%v: %s", err, made)
	}
	publish := func(typ, status string) string {
		t.Helper()
		var ev client.Event
		if err := json.Unmarshal([]byte(ok(t, env, "events", "publish", typ, "-json")), &ev); err != nil {
			t.Fatal(err)
		}
		r.event(ev.ID, status)
		return ev.ID
	}
	failed, unmatched := publish("order.paid", "failed"), publish("invoice.sent", "unmatched")
	for id, wants := range map[string][]string{
		failed:    {"order.paid  failed", "proven by  key", "received", "attempted", "500", "Attempts", "Deliveries", ep.ID + "  failed"},
		unmatched: {"invoice.sent  unmatched", "Not sent to", ep.ID + "  does not want this type"},
	} {
		story := ok(t, env, "events", "show", id)
		for _, want := range wants {
			if !strings.Contains(story, want) {
				t.Errorf("the story of %s does not say %q:\n%s", id, want, story)
			}
		}
	}
	if list := ok(t, env, "events", "list", "-status", "failed"); !strings.Contains(list, failed) || strings.Contains(list, unmatched) {
		t.Errorf("failed events:\n%s", list)
	}
	lines := strings.Split(strings.TrimSpace(ok(t, env, "events", "list", "-json")), "\n")
	var first client.Event
	if len(lines) != 2 || json.Unmarshal([]byte(lines[0]), &first) != nil || first.ID != unmatched {
		t.Errorf("as JSON: %q", lines)
	}
	var attempt client.Attempt
	if err := json.Unmarshal([]byte(ok(t, env, "deliveries", "list", "-event", failed, "-json")), &attempt); err != nil {
		t.Fatal(err)
	}
	answers <- 200
	if said := ok(t, env, "deliveries", "retry", attempt.ID, "-endpoint", ep.ID); !strings.Contains(said, "run 1") {
		t.Errorf("retry: %s", said)
	}
	r.event(failed, "delivered")
	if story := ok(t, env, "events", "show", failed, "-payload"); !strings.Contains(story, "1 of run 1") || !strings.Contains(story, `"type": "order.paid"`) {
		t.Errorf("after the retry:\n%s", story)
	}
	if said := ok(t, env, "replays", "create", "-endpoint", ep.ID, "-since", "1h", "-status", "all", "-dry-run"); !strings.Contains(said, "1 event") {
		t.Errorf("dry run: %s", said)
	}
	if said := ok(t, env, "endpoints", "update", ep.ID, "-status", "disabled"); !strings.Contains(said, "disabled") {
		t.Errorf("update: %s", said)
	}
	if said := ok(t, env, "endpoints", "delete", ep.ID); !strings.Contains(said, "deleted") {
		t.Errorf("delete: %s", said)
	}
}

func TestSourcesAreMadeWithoutASecretAmongTheArguments(t *testing.T) {
	t.Parallel()
	r := dev(t, start{})
	env := on(r)
	env["HOOKFERRY_SECRET"] = "whsec_that-rivya-showed"
	if said := ok(t, env, "sources", "create", "-provider", "rivya", "-name", "Rivya"); !strings.Contains(said, r.API+"/in/src_") || strings.Contains(said, "that-rivya-showed") {
		t.Errorf("got %s", said)
	}
	delete(env, "HOOKFERRY_SECRET")
	said := ok(t, env, "sources", "create", "-provider", "sivi", "-name", "Sivi", "-json")
	var s client.Source
	if err := json.Unmarshal([]byte(said), &s); err != nil {
		t.Fatal(err)
	}
	token := s.IngestURL[strings.LastIndex(s.IngestURL, "/")+1:]
	if list := ok(t, env, "sources", "list"); strings.Contains(list, token) || !strings.Contains(list, s.ID) {
		t.Errorf("the list shows a token, or no source:\n%s", list)
	}
	if shown := ok(t, env, "sources", "show", s.ID); !strings.Contains(shown, token) || !strings.Contains(shown, "like a password") {
		t.Errorf("show: %s", shown)
	}
	if said := ok(t, env, "sources", "delete", s.ID); !strings.Contains(said, "is deleted") {
		t.Errorf("delete: %s", said)
	}
}

func TestExitCodesSayWhatKindOfFailure(t *testing.T) {
	t.Parallel()
	r := dev(t, start{})
	env := on(r)
	wrongKey := map[string]string{"HOOKFERRY_URL": r.API, "HOOKFERRY_API_KEY": "rvya_sk_wrong"}
	for _, c := range []struct {
		env  map[string]string
		line string
		code int
		want string
	}{
		{env, "events show evt_none", exitNotFound, `no event with the id or subject "evt_none"`},
		{env, "endpoints show whend_none", exitNotFound, "404"},
		{wrongKey, "events list", exitDenied, "api_key_invalid"},
		{map[string]string{"HOOKFERRY_URL": "http://127.0.0.1:1", "HOOKFERRY_API_KEY": "k"}, "events list", exitFailed, "no answer from http://127.0.0.1:1"},
		{map[string]string{"HOOKFERRY_URL": "http://hooks.example.com", "HOOKFERRY_API_KEY": "k"}, "events list", exitFailed, "use https"},
		{map[string]string{"HOOKFERRY_URL": r.API}, "events list", exitFailed, "set HOOKFERRY_API_KEY"},
		{env, "events list -since yesterday", exitUsage, "how long ago"},
		{env, "events show", exitUsage, "want one ID or SUBJECT"},
		{env, "events list -limit 0", exitUsage, "-limit"},
		{env, "endpoints create -name x", exitUsage, "-url https"},
		{env, "endpoints create -name x -url nonsense", exitFailed, "webhook_url_rejected"},
		{env, "endpoints update whend_x", exitUsage, "say what to change"},
		{env, "deliveries retry att_x", exitUsage, "-endpoint whend_…"},
		{env, "replays create", exitUsage, "-since TIME"},
		{env, "events publish order.paid -file /none", exitFailed, "/none"},
	} {
		code, stdout, stderr := cli(t, c.env, strings.Fields(c.line)...)
		if code != c.code || !strings.Contains(stderr, c.want) || stdout != "" {
			t.Errorf("%s: exit %d, %q %q, want %d and %q", c.line, code, stdout, stderr, c.code, c.want)
		}
	}
}

// A lockedBuffer may be written to and read at the same time.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestTailFollowsEventsAsTheyComeAndEnd(t *testing.T) {
	t.Parallel()
	r := dev(t, start{env: []string{"RETRY_SCHEDULE=0s,1s"}})
	dest := newDestination(t, func(n int, _ delivery) int { return map[bool]int{true: 500, false: 200}[n == 1] })
	r.endpoint(dest.URL)
	r.event(r.publish("order.before"), "delivered")

	var out lockedBuffer
	env := on(r)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan int)
	go func() {
		done <- run(ctx, program{out: &out, err: &out, lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}, []string{"events", "tail"})
	}()
	n := 0
	eventually(t, 20*time.Second, func() string { // until it has looked once
		n++
		r.call(202, "POST", "/api/v1/webhook-events", map[string]any{"type": fmt.Sprint("order.n", n), "data": map[string]any{}})
		if !strings.Contains(out.String(), "delivered  order.n") {
			return "it says: " + out.String()
		}
		return ""
	})
	stop()
	if code := <-done; code != 0 {
		t.Errorf("exit %d", code)
	}
	if said := out.String(); strings.Contains(said, "order.before") {
		t.Errorf("it tells of what was before:\n%s", said)
	}
}

// Where the address and key come from: never a key of one place for another's
// address.
func TestTheKeyBelongsToTheAddress(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	data := filepath.Dir(write("data/dev.key", "rvya_sk_dev\n", 0o600))
	write("data/dev.address", "http://127.0.0.1:7777\n", 0o600)
	write("prod.key", "rvya_sk_prod\n", 0o600)
	write("open.key", "rvya_sk_open\n", 0o644)
	flagKey := write("flag.key", "rvya_sk_flag\n", 0o600)
	config := write("config.json", `{"profile":"prod","profiles":{
		"prod":{"url":"https://prod.example.com","api_key_file":"prod.key"}, "open":{"url":"https://x.example.com","api_key_file":"open.key"},
		"stage":{"url":"https://stage.example.com","api_key":"rvya_sk_stage"}, "none":{"api_key":"k"}}}`, 0o600)
	bad := write("bad.json", `{"profils":{}}`, 0o600)
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		want string // base and key, or part of the error
	}{
		"a data folder":            {[]string{"-data", data}, nil, "http://127.0.0.1:7777 rvya_sk_dev"},
		"and not the environment":  {[]string{"-data", data}, map[string]string{"HOOKFERRY_URL": "https://e.example.com", "HOOKFERRY_API_KEY": "rvya_sk_env"}, "http://127.0.0.1:7777 rvya_sk_dev"},
		"an address and a folder":  {[]string{"-data", data, "-api", "http://127.0.0.1:1"}, nil, "http://127.0.0.1:1 rvya_sk_dev"},
		"the environment":          {nil, map[string]string{"HOOKFERRY_URL": "https://e.example.com", "HOOKFERRY_API_KEY": "rvya_sk_env", "HOOKFERRY_CONFIG": config}, "https://e.example.com rvya_sk_env"},
		"a key alone":              {nil, map[string]string{"HOOKFERRY_API_KEY": "rvya_sk_env"}, defaultURL + " rvya_sk_env"},
		"the configuration":        {nil, map[string]string{"HOOKFERRY_CONFIG": config}, "https://prod.example.com rvya_sk_prod"},
		"its key, not another":     {nil, map[string]string{"HOOKFERRY_CONFIG": config, "HOOKFERRY_API_KEY": "rvya_sk_env"}, "https://prod.example.com rvya_sk_prod"},
		"a profile":                {[]string{"-profile", "stage"}, map[string]string{"HOOKFERRY_CONFIG": config}, "https://stage.example.com rvya_sk_stage"},
		"a profile by variable":    {nil, map[string]string{"HOOKFERRY_CONFIG": config, "HOOKFERRY_PROFILE": "stage"}, "https://stage.example.com rvya_sk_stage"},
		"a key file above all":     {[]string{"-profile", "stage", "-key-file", flagKey}, map[string]string{"HOOKFERRY_CONFIG": config}, "https://stage.example.com rvya_sk_flag"},
		"a key that others read":   {[]string{"-profile", "open"}, map[string]string{"HOOKFERRY_CONFIG": config}, "chmod go="},
		"no such profile":          {[]string{"-profile", "x"}, map[string]string{"HOOKFERRY_CONFIG": config}, "it has: none, open, prod, stage"},
		"no configuration":         {[]string{"-profile", "x"}, map[string]string{"HOOKFERRY_CONFIG": dir + "/none.json"}, "would be in"},
		"a profile without url":    {[]string{"-profile", "none"}, map[string]string{"HOOKFERRY_CONFIG": config}, "has no url"},
		"an unknown field":         {nil, map[string]string{"HOOKFERRY_CONFIG": bad}, `unknown field "profils"`},
		"nothing":                  {nil, nil, "no API key"},
		"a folder without dev.key": {[]string{"-data", dir}, nil, "start hookferry dev"},
	} {
		p := program{err: new(bytes.Buffer), lookup: func(name string) (string, bool) { v, ok := c.env[name]; return v, ok }}
		flags := clientFlagsOf(t, c.args)
		base, key, err := flags.place(p)
		if err == nil && flags.key.given() {
			key, err = flags.key.read(p)
		}
		if err == nil && key == "" {
			_, err = flags.client(p)
		}
		got := base + " " + key.Reveal()
		if err != nil {
			got = err.Error()
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

// Strangers choose names, types and answers; none of it acts on the terminal, and
// as JSON it is the same value.
func TestNothingThatARelaySaysActsOnATerminal(t *testing.T) {
	t.Parallel()
	const nasty = "a\x1b[2J\u009b31m\u202e\u2028\x7f"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		item := map[string]any{
			"id": nasty, "type": nasty, "status": nasty, "name": nasty, "url": nasty, "subject": nasty, "provider": nasty,
			"ingest_url": nasty, "event_types": []string{nasty}, "created_at": "2026-05-11T00:00:00.000Z", "verified_by": nasty,
			"timeline": []any{map[string]any{"at": "2026-05-11T00:00:00.000Z", "what": nasty, "detail": nasty, "endpoint_id": nasty}},
			"payload":  map[string]any{nasty: nasty}, "attempts": []any{map[string]any{"id": nasty, "response_snippet": nasty, "http_status": 200, "created_at": "2026-05-11T00:00:00.000Z"}},
			"unmatched": []any{map[string]any{"endpoint_id": nasty, "reason": nasty, "detail": nasty}}, "rejected_because": nasty, "signing_secret": nasty,
		}
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(false)
		switch {
		case strings.HasSuffix(r.URL.Path, "/broken"):
			w.WriteHeader(400)
			enc.Encode(map[string]any{"error": map[string]any{"code": nasty, "message": nasty, "param": nasty}})
		case strings.Count(r.URL.Path, "/") > 3:
			enc.Encode(item)
		default:
			enc.Encode(map[string]any{"object": "list", "data": []any{item}})
		}
		w.Write(buf.Bytes())
	}))
	defer srv.Close()
	env := map[string]string{"HOOKFERRY_URL": srv.URL, "HOOKFERRY_API_KEY": "k"}
	for _, line := range []string{
		"events list", "events show x -payload", "endpoints list", "endpoints show x", "endpoints show broken", "sources list", "sources show x", "replays list", "replays show x",
	} {
		for _, form := range []string{"", " -json"} {
			_, stdout, stderr := cli(t, env, strings.Fields(line+form)...)
			if i := strings.IndexAny(stdout+stderr, "\x1b\u009b\u202e\u2028\x7f"); i >= 0 || stdout+stderr == "" {
				t.Errorf("%s%s: %q", line, form, stdout+stderr)
			}
			var item map[string]any
			if form != "" && stdout != "" {
				if err := json.Unmarshal([]byte(stdout), &item); err != nil || item["id"] != nasty {
					t.Errorf("%s%s: the value is another: %v %q", line, form, err, item["id"])
				}
			}
		}
	}
}

func TestATableFitsTheLine(t *testing.T) {
	t.Parallel()
	tb := table{columns: []column{{"ID", false, 0}, {"TYPE", true, 0}, {"STATUS", false, 0}, {"SUBJECT", true, 1}, {"SOURCE", false, 2}}}
	tb.add("evt_06h1ums0h0ghvpvf1ljho9d73c", "generation.succeeded", "delivered", strings.Repeat("long ", 30), "src_06h1ums0h0ghvpvf1ljho9d73c")
	tb.add("evt_2", "é", "failed", "line\nbreak", "-")
	for width, want := range map[int]string{0: "SOURCE", 200: "SOURCE", 100: "SUBJECT", 60: "STATUS", 56: "STATUS"} {
		var out bytes.Buffer
		tb.write(&out, style{}, width)
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if len(lines) != 3 || !strings.Contains(lines[0], want) {
			t.Errorf("%d: %d lines, want 3 with %s:\n%s", width, len(lines), want, &out)
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); width > 0 && n > width {
				t.Errorf("%d: a line of %d: %s", width, n, line)
			}
		}
	}
}

func TestWatchShowsWhatHasChanged(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	v, on, looks := view{out: &out, now: time.Now}, true, 0
	err := v.show(ctx, viewFlags{watch: &on}, func(v view) error {
		looks++
		fmt.Fprintln(v.out, "look", min(looks, 2))
		switch looks {
		case 3:
			cancel()
		case 2:
			return fmt.Errorf("a passing \x1b fault")
		}
		return nil
	})
	if want := "look 1\nlook 2\n✗ a passing \\u001b fault\n"; err != nil || out.String() != want {
		t.Errorf("got %q, %v, want %q", out.String(), err, want)
	}
	if err := v.show(t.Context(), viewFlags{watch: &on}, func(view) error { return os.ErrNotExist }); err == nil {
		t.Error("a first look that fails is tried for ever")
	}
}
