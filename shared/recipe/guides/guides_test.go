// Package guides_test runs the commands of the guides beside it, as they stand
// there, against a relay in this process.
package guides_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hookferry/shared/api"
	"hookferry/shared/dispatcher"
	"hookferry/shared/egress"
	"hookferry/shared/receiver"
	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
	"hookferry/shared/seal"
)

// A running relay, and a destination that keeps what it gets.
type running struct {
	url, destination string
	key              relay.Secret
	events           *relaytest.MemoryQueue
	dispatcher       *dispatcher.Dispatcher

	mu  sync.Mutex
	got []string
}

func start(t *testing.T) *running {
	t.Helper()
	r := &running{key: relay.NewAPIKey(), events: relaytest.NewMemoryQueue(time.Now)}
	store, keys, now := relaytest.NewMemory(time.Now, relaytest.Retention), seal.Generate(), time.Now()
	account := relay.NewID(relay.AccountPrefix, now)
	err := store.CreateAccount(t.Context(), relay.Account{ID: account, Name: "guides", CreatedAt: now})
	if err == nil {
		err = store.CreateKey(t.Context(), relay.Key{
			ID: relay.NewID(relay.KeyPrefix, now), Account: account, Hash: relay.HashSecret(r.key), Scopes: relay.Scopes(), CreatedAt: now,
		}, 10)
	}
	if err != nil {
		t.Fatal(err)
	}
	destination := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, string(body))
	}))
	t.Cleanup(destination.Close)
	policy := egress.Policy{AllowPrivate: true}
	client := egress.New(egress.Config{Policy: policy})
	t.Cleanup(client.CloseIdle)
	retries := relaytest.NewMemoryQueue(time.Now)
	r.dispatcher = dispatcher.New(dispatcher.Config{Store: store, Events: r.events, Retries: retries, Keys: keys, Client: client, Now: time.Now})
	mux := http.NewServeMux()
	mux.Handle("/in/", receiver.New(receiver.Config{Sources: store, Events: r.events, Keys: keys, Now: time.Now}))
	mux.Handle("/", api.New(api.Config{Store: store, Events: r.events, Retries: retries, Keys: keys, Now: time.Now, URLs: policy}))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	r.url, r.destination = server.URL, destination.URL
	return r
}

// deliver handles what has been accepted.
func (r *running) deliver(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	batch, err := r.events.Receive(ctx, relay.MaxBatch, 0, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if bad := r.dispatcher.Handle(ctx, r.events, batch); len(bad) > 0 {
		t.Fatalf("%d messages failed", len(bad))
	}
}

// blocks returns the shell blocks of a page.
func blocks(t *testing.T, page string) (found []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for i, block := range strings.Split(string(text), "```") {
		if code, isShell := strings.CutPrefix(block, "sh\n"); i%2 == 1 && isShell {
			found = append(found, code)
		}
	}
	return found
}

// What each guide ends with: the event's type, and what its endpoint got.
var ends = map[string]struct {
	typ, got string
}{
	"openai.md":    {"response.completed", `{"object":"event","id":"evt_1","type":"response.completed"`},
	"replicate.md": {"generation.succeeded", `"data":{"generation":{"id":"p1","status":"succeeded","model":"acme/flux"`},
	"fal.md":       {"generation.succeeded", `"data":{"generation":{"id":"r1","status":"succeeded"`},
	"github.md":    {"github.push", `{"ref":"refs/heads/main","repository":{"full_name":"acme/shop"}}`},
	"stripe.md":    {"invoice.paid", `{"id":"evt_1","object":"event","type":"invoice.paid"`},
}

func TestTheCommandsOfTheGuides(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "openssl", "sha256sum"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not on this machine: the guides' commands were not tried", tool)
		}
	}
	pages, err := filepath.Glob("*.md")
	if err != nil || len(pages) != len(ends) {
		t.Fatalf("%d pages, %v, want %d", len(pages), err, len(ends))
	}
	for _, page := range pages {
		t.Run(page, func(t *testing.T) {
			r, dir := start(t), t.TempDir()
			var source, ingest, exports string
			for _, block := range blocks(t, page) {
				for _, step := range steps(block) {
					step = strings.NewReplacer(
						"https://hooks.example.com", r.url, "https://example.com/hook", r.destination, "rvya_sk_…", r.key.Reveal(),
						"src_…", source, "https://…", ingest, "whsec_…", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
					).Replace(step)
					answer := run(t, dir, exports+step)
					var made struct {
						Object, ID string
						IngestURL  string `json:"ingest_url"`
						Data       []struct{ Type, Status string }
					}
					if len(answer) > 0 {
						if err := json.Unmarshal(answer, &made); err != nil || strings.Contains(string(answer), `"error":{`) {
							t.Fatalf("%s\nanswered %s, %v", step, answer, err)
						}
					}
					switch {
					case made.Object == "webhook_source":
						source, ingest = made.ID, made.IngestURL
					case strings.Contains(string(answer), `"received":true`):
						r.deliver(t)
					case made.Object == "list":
						if len(made.Data) != 1 || made.Data[0].Type != ends[page].typ || made.Data[0].Status != "delivered" {
							t.Errorf("the event is %s", answer)
						}
					}
					exports += kept(t, dir, exports, step)
				}
			}
			if len(r.got) != 1 || !strings.Contains(r.got[0], ends[page].got) {
				t.Errorf("the endpoint got %q", r.got)
			}
		})
	}
}

// steps cuts a block into its commands, each with its continued lines; what a
// command sets for the next stays with it.
func steps(block string) (all []string) {
	step := ""
	for line := range strings.Lines(block) {
		step += strings.TrimPrefix(line, "   ")
		text := strings.TrimSpace(step)
		if strings.HasSuffix(text, "\\") || text == "" {
			continue
		}
		if begins := strings.HasPrefix(text, "BODY=") || strings.Contains(text, "\nBODY="); begins && !strings.Contains(text, "curl ") {
			continue
		}
		all, step = append(all, step), ""
	}
	return all
}

// kept returns the exports of a step for those after it, with what a command in
// them gave this time.
func kept(t *testing.T, dir, exports, step string) string {
	t.Helper()
	name, isExport := strings.CutPrefix(step, "export ")
	if !isExport || !strings.Contains(step, "$(") {
		if isExport {
			return step
		}
		return ""
	}
	name, _, _ = strings.Cut(name, "=")
	return "export " + name + "='" + string(run(t, dir, exports+step+`printf %s "$`+name+`"`)) + "'\n"
}

func run(t *testing.T, dir, script string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s\n%v", script, err)
	}
	return out
}
