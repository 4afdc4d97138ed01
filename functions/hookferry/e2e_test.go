package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

// seedEvent is the example payload of Rivya's documentation.
const seedEvent = `{
  "id": "evt_seed",
  "type": "generation.succeeded",
  "api_version": "2026-05-11",
  "created_at": "2026-05-11T00:00:00.000Z",
  "data": {
    "generation": {
      "id": "task_public_id",
      "status": "succeeded",
      "model": "z-image",
      "reserved_credits": 1,
      "final_credits": 1,
      "created_at": "2026-05-11T00:00:00.000Z",
      "updated_at": "2026-05-11T00:01:00.000Z",
      "result": {"primary_url": "https://...", "urls": ["https://..."]},
      "error": null
    }
  }
}`

// sendRivya signs body and posts it as Rivya does.
func sendRivya(t testing.TB, url, secret, id string, body []byte) (int, string) {
	t.Helper()
	ts := time.Now().Unix()
	req, err := http.NewRequest("POST", url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Rivya-Webhook-Id", id)
	req.Header.Set("Rivya-Webhook-Timestamp", strconv.FormatInt(ts, 10))
	signed, err := signature.SignRivya(ts, body, relay.Secret(secret))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Rivya-Webhook-Signature", signed)
	resp, err := plain.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

func TestASignedRivyaCallArrivesByteForByteAndPassesTheSeedsVerifiers(t *testing.T) {
	onEachBackend(t, arrivesByteForByte)
}

func arrivesByteForByte(t *testing.T, b testBackend) {
	r := dev(t, b.start())
	dest := newDestination(t, nil)
	endpoint, secret := r.endpoint(dest.URL, "generation.succeeded")
	url, sourceSecret := r.rivyaSource()
	status, answer := sendRivya(t, url, sourceSecret, "evt_seed", []byte(seedEvent))
	if status != 200 || strings.TrimSpace(answer) != `{"received":true,"id":"evt_seed"}` {
		t.Fatalf("accept: got %d %s", status, answer)
	}
	d := dest.wait(t, 1, 5*time.Second)[0]
	if string(d.body) != seedEvent {
		t.Errorf("the body changed on the way:\n%s", d.body)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Rivya-Webhook-Id": "evt_seed", "Rivya-Webhook-Attempt": "1",
		"Rivya-Webhook-Endpoint-Id": endpoint,
	} {
		if got := d.header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if !strings.HasPrefix(d.header.Get("Rivya-Request-Id"), "req_") {
		t.Errorf("Rivya-Request-Id: got %q", d.header.Get("Rivya-Request-Id"))
	}
	for _, v := range []struct{ program, script string }{
		{"node", "testdata/verify.mjs"}, {"python3", "testdata/verify.py"},
	} {
		t.Run(v.program, func(t *testing.T) {
			if _, err := exec.LookPath(v.program); err != nil {
				t.Skipf("%s is not on this machine: its verifier was not tried", v.program)
			}
			verify := func(ts, sig, body, secret string) string {
				in, err := json.Marshal(map[string]string{"timestamp": ts, "signature": sig, "body": body, "secret": secret})
				if err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command(v.program, v.script)
				cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
				out, err := cmd.Output()
				if err != nil {
					t.Fatal(err)
				}
				return strings.TrimSpace(string(out))
			}
			ts, sig := d.header.Get("Rivya-Webhook-Timestamp"), d.header.Get("Rivya-Webhook-Signature")
			if got := verify(ts, sig, string(d.body), secret); got != "true" {
				t.Errorf("our delivery: got %s", got)
			}
			if got := verify(ts, sig, string(d.body)+" ", secret); got != "false" {
				t.Errorf("a changed body: got %s", got)
			}
			if got := verify(ts, sig, string(d.body), "whsec_other"); got != "false" {
				t.Errorf("another secret: got %s", got)
			}
		})
	}

	// The same call again is accepted and relayed once.
	if status, _ := sendRivya(t, url, sourceSecret, "evt_seed", []byte(seedEvent)); status != 200 {
		t.Errorf("duplicate: got %d", status)
	}
	r.call(202, "POST", "/api/v1/webhook-events", map[string]any{"type": "order.paid", "data": map[string]any{}})
	eventually(t, 5*time.Second, func() string {
		if n := len(r.list("/api/v1/webhook-events")); n != 2 {
			return fmt.Sprintf("%d events listed, want 2", n)
		}
		return ""
	})
	if n := len(dest.deliveries()); n != 1 {
		t.Errorf("got %d deliveries, want 1", n)
	}
	ev := r.call(200, "GET", "/api/v1/webhook-events/evt_seed", nil)
	if ev["status"] != "delivered" || ev["verified_by"] != "signature" {
		t.Errorf("event: %v", ev)
	}
}

func TestFiveAttemptsOnTheScheduleThenFailed(t *testing.T) {
	t.Parallel()
	onEachBackend(t, fiveAttempts)
}

func fiveAttempts(t *testing.T, b testBackend) {
	t.Parallel()
	r := dev(t, b.with("RETRY_SCHEDULE=0s,1s,2s,3s,4s").start())
	dest := newDestination(t, func(int, delivery) int { return 500 })
	id, _ := r.endpoint(dest.URL)
	ev := r.call(202, "POST", "/api/v1/webhook-events", map[string]any{"type": "order.paid", "data": map[string]any{"n": 1}})
	got := dest.wait(t, 5, time.Minute)
	for i, d := range got {
		if a := d.header.Get("Rivya-Webhook-Attempt"); a != strconv.Itoa(i+1) {
			t.Errorf("call %d says attempt %s", i+1, a)
		}
		if d.header.Get("Rivya-Webhook-Id") != ev["id"] {
			t.Errorf("call %d has another event id", i+1)
		}
		if i == 0 {
			continue
		}
		wait := d.at.Sub(got[i-1].at)
		// Never early. How late a call comes, a busy machine decides; when it was
		// due, the record says, below.
		if want := time.Duration(i) * time.Second; wait < want || wait > want+15*time.Second {
			t.Errorf("attempt %d came %v after the one before, want %v and no more than 15 s above", i+1, wait, want)
		}
	}
	due := r.list("/api/v1/webhooks/" + id + "/deliveries?event_id=" + ev["id"].(string))
	slices.Reverse(due) // the oldest first
	for i, a := range due[:min(len(due), 4)] {
		began, errBegan := time.Parse(time.RFC3339, a["created_at"].(string))
		next, errNext := time.Parse(time.RFC3339, fmt.Sprint(a["next_attempt_at"]))
		ended := began.Add(time.Duration(a["duration_ms"].(float64)) * time.Millisecond)
		want := time.Duration(i+1) * time.Second
		if errBegan != nil || errNext != nil || next.Sub(began) < want || next.Sub(ended) > want+2*time.Second {
			t.Errorf("attempt %d planned the next one %v after its end, want %v: %v", i+1, next.Sub(ended), want, a)
		}
	}
	eventually(t, 5*time.Second, func() string {
		if s := r.call(200, "GET", "/api/v1/webhook-events/"+ev["id"].(string), nil)["status"]; s != "failed" {
			return fmt.Sprintf("event is %v, want failed", s)
		}
		return ""
	})
	attempts := r.list("/api/v1/webhooks/" + id + "/deliveries")
	if len(attempts) != 5 {
		t.Fatalf("got %d attempts on record, want 5", len(attempts))
	}
	for i, a := range attempts {
		n := 5 - i
		if a["attempt"] != float64(n) || a["final"] != (n == 5) || a["http_status"] != 500.0 || a["status"] != "failed" ||
			a["response_snippet"] != "thanks" || (a["next_attempt_at"] == nil) != (n == 5) || a["run"] != 0.0 {
			t.Errorf("attempt %d: %v", n, a)
		}
	}
	time.Sleep(2 * time.Second)
	if n := len(dest.deliveries()); n != 5 {
		t.Errorf("got %d calls, want 5", n)
	}
}

func TestASecondStartFindsEverythingAgain(t *testing.T) {
	dir := dataDir(t)
	s := start{args: []string{"-data", dir}, env: []string{"RETRY_SCHEDULE=0s,2s,2s"}}
	first := dev(t, s)
	dest := newDestination(t, func(n int, _ delivery) int { return map[bool]int{true: 500, false: 200}[n == 1] })
	id, _ := first.endpoint(dest.URL)
	ev := first.call(202, "POST", "/api/v1/webhook-events", map[string]any{"type": "order.paid", "data": map[string]any{}})
	dest.wait(t, 1, 5*time.Second)
	if err := first.stop(); err != nil {
		t.Fatalf("stop: %v\n%s", err, first.tail())
	}
	second := dev(t, s)
	if second.Key != first.Key || second.Account != first.Account {
		t.Errorf("the second start has another key or account")
	}
	dest.wait(t, 2, 10*time.Second)
	eventually(t, 5*time.Second, func() string {
		got := second.call(200, "GET", "/api/v1/webhook-events/"+ev["id"].(string), nil)
		if got["status"] != "delivered" {
			return fmt.Sprintf("event is %v", got["status"])
		}
		return ""
	})
	if n := len(second.list("/api/v1/webhooks/" + id + "/deliveries")); n != 2 {
		t.Errorf("got %d attempts on record, want 2", n)
	}
	info, err := os.Stat(dir + "/dev.key")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("dev.key: %v %v", info.Mode(), err)
	}
}

func TestKeysAreMadeListedAndRevokedWhileDevRuns(t *testing.T) {
	dir := dataDir(t)
	r := dev(t, start{args: []string{"-data", dir}})
	var made struct {
		ID      string `json:"id"`
		Account string `json:"account"`
		Key     string `json:"api_key"`
	}
	if err := json.Unmarshal([]byte(output(t, nil, "keys", "create", "-data", dir, "-account", "acme", "-json")), &made); err != nil {
		t.Fatal(err)
	}
	other := &relayProc{t: t, API: r.API, Key: made.Key}
	other.call(200, "GET", "/api/v1/webhooks", nil)
	if status, _, _ := other.try("POST", "/api/v1/webhook-events", map[string]any{"type": "a.b", "data": map[string]any{}}); status != 403 {
		t.Errorf("publish without the scope: got %d, want 403", status)
	}
	if out := output(t, nil, "keys", "list", "-data", dir, "-account", "acme"); !strings.Contains(out, made.ID) || strings.Contains(out, made.Key) {
		t.Errorf("list: %s", out)
	}
	output(t, nil, "keys", "revoke", "-data", dir, "-account", "acme", "-id", made.ID)
	eventually(t, 10*time.Second, func() string {
		status, answer, _ := other.try("GET", "/api/v1/webhooks", nil)
		if status != 401 || answer["error"].(map[string]any)["code"] != "api_key_revoked" {
			return fmt.Sprintf("the revoked key is answered %d %v", status, answer)
		}
		return ""
	})
	for _, args := range [][]string{
		{"keys", "create", "-data", dir},
		{"keys", "create", "-data", dir, "-account", "a", "-scopes", "all,x"},
		{"keys", "list", "-data", dir + "x", "-account", "acme"},
		{"keys", "revoke", "-data", dir, "-account", "nobody", "-id", made.ID},
		{"keys", "revoke", "-data", dir, "-account", "dev", "-id", made.ID},
		{"keys"},
		{"nothing"},
		{},
	} {
		if said := refused(t, nil, args...); len(said) < 20 {
			t.Errorf("hookferry %v: says only %q", args, said)
		}
	}
}

func TestTheFirstKeyIsMadeBeforeTheFirstStart(t *testing.T) {
	dir := dataDir(t)
	var made struct {
		Account string `json:"account"`
		Key     string `json:"api_key"`
	}
	if err := json.Unmarshal([]byte(output(t, nil, "keys", "create", "-data", dir, "-account", "acme", "-scopes", "all", "-json")), &made); err != nil {
		t.Fatal(err)
	}
	r := dev(t, start{args: []string{"-data", dir}})
	first := &relayProc{t: t, API: r.API, Key: made.Key}
	first.endpoint("http://127.0.0.1:9/")
	if n := len(r.list("/api/v1/webhooks")); n != 0 {
		t.Errorf("another account sees %d endpoints", n)
	}
	if n := len(first.list("/api/v1/webhooks")); n != 1 {
		t.Errorf("the account sees %d endpoints, want its one", n)
	}
}

func TestListenAndSendNeedNothingCopied(t *testing.T) {
	dir := dataDir(t)
	dev(t, start{args: []string{"-data", dir}})
	for _, provider := range []string{"rivya", "sivi"} {
		listen := hookferry(t, nil, "listen", "-data", dir, "-n", "1")
		ready, err := listen.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		listen.Stdout = &out
		if err := listen.Start(); err != nil {
			t.Fatal(err)
		}
		said := make([]byte, 4096)
		for read := 0; !bytes.Contains(said[:read], []byte("Ctrl-C")); {
			n, err := ready.Read(said[read:])
			if err != nil {
				t.Fatalf("listen: %s %v", said[:read], err)
			}
			read += n
		}
		go io.Copy(io.Discard, ready)
		if got := output(t, nil, "send", provider, "-data", dir); !strings.Contains(got, "200 OK") {
			t.Errorf("send %s: %s", provider, got)
		}
		if err := listen.Wait(); err != nil {
			t.Errorf("listen: %v", err)
		}
		if !strings.Contains(out.String(), "signature right, Standard Webhooks right") || !strings.Contains(out.String(), "generation.succeeded") {
			t.Errorf("listen printed:\n%s", &out)
		}
	}
}
