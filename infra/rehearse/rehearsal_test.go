//go:build rehearse

package rehearse

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hookferry/shared/signature"
)

// TestRehearsal deploys the template and takes it through the drills, one after
// the other on one deployment.
func TestRehearsal(t *testing.T) {
	e := startEmulator(t)
	e.bootstrapped(t)
	built := build(t, withLoopback(nil), "api", "receiver", "dispatcher", "repair")
	tpl := e.upload(t, shimmed(t, readTemplate(t)), built, "now")
	if !t.Run("a first deployment that fails late, and then works", func(t *testing.T) { e.failsLate(t, tpl) }) {
		t.FailNow()
	}
	w := newWorld(t, e, tpl)
	w.furnish(t)
	t.Run("a signed call in, a verified delivery out, a retry and a replay", w.mainPath)
	t.Run("an update under traffic, and back", func(t *testing.T) { w.update(t, built) })
	t.Run("each action of each role is needed, and no other", w.permissions)
}

// verified says what is wrong with a delivery of an event: its signature, body
// or headers.
func verified(p post, secret interface{ Reveal() string }, body, attempt, endpoint string) string {
	if p.body != body {
		return fmt.Sprintf("body %q, want %q", p.body, body)
	}
	for name, want := range map[string]string{"Rivya-Webhook-Attempt": attempt, "Rivya-Webhook-Endpoint-Id": endpoint, "Content-Type": "application/json"} {
		if got := p.header.Get(name); got != want {
			return fmt.Sprintf("%s: %q, want %q", name, got, want)
		}
	}
	return ""
}

// mainPath is drill a.
func (w *world) mainPath(t *testing.T) {
	dest := w.destination(t, nil)
	id, secret := w.endpoint(t, "main", dest.URL+"/hook", nil)
	siviID, _ := w.endpoint(t, "sivi", dest.URL+"/sivi", map[string]any{"format": "sivi"})
	check := func(event, body string, n int) {
		t.Helper()
		posts := dest.posts(event)
		if len(posts) != n {
			t.Fatalf("%s: %d calls, want %d", event, len(posts), n)
		}
		p := posts[n-1]
		if wrong := verified(p, secret, body, fmt.Sprint(n), id); wrong != "" {
			t.Errorf("%s: %s", event, wrong)
		}
		if err := signature.VerifyRivya(p.header.Get("Rivya-Webhook-Signature"), p.header.Get("Rivya-Webhook-Timestamp"), []byte(p.body), time.Now(), secret); err != nil {
			t.Errorf("%s: %v", event, err)
		}
	}

	w.accept(t, "evt_first")
	until(t, 30*time.Second, func() string { return w.status("delivered", "evt_first") })
	check("evt_first", string(rivyaBody("evt_first")), 1)

	// Not one byte more than was signed.
	if status, _, err := w.gateway("POST", w.rivya.path, map[string]string{"Content-Type": "application/json", "Rivya-Webhook-Signature": "v1=00",
		"Rivya-Webhook-Timestamp": fmt.Sprint(time.Now().Unix())}, rivyaBody("evt_forged")); status != 401 || err != nil {
		t.Errorf("a forged call: %d %v", status, err)
	}

	// Sivi signs nothing: its URL holds the proof.
	const siviBody = `{"status":200,"body":{"status":"complete", "requestId":"sbhMkIZKCPp","result":{"variations":[]}}}`
	if status, answer, err := w.gateway("POST", w.sivi.path, map[string]string{"Content-Type": "application/json"}, []byte(siviBody)); status != 200 || err != nil {
		t.Fatalf("Sivi's call: %d %s %v", status, answer, err)
	}
	if status, _, _ := w.gateway("POST", w.sivi.path+"x", map[string]string{"Content-Type": "application/json"}, []byte(siviBody)); status != 401 {
		t.Errorf("Sivi's call with another token: %d", status)
	}
	until(t, 30*time.Second, func() string {
		dest.mu.Lock()
		defer dest.mu.Unlock()
		for _, p := range dest.got {
			if p.body == siviBody && p.header.Get("Rivya-Webhook-Endpoint-Id") == siviID {
				return ""
			}
		}
		return "no delivery of Sivi's event"
	})

	// A failed attempt is made again on the schedule.
	failed := map[string]int{}
	dest.say(func(p post) int {
		event := p.header.Get("Rivya-Webhook-Id")
		if failed[event]++; event == "evt_retry" && failed[event] == 1 || event == "evt_fails" {
			return 500
		}
		return 200
	})
	w.accept(t, "evt_retry", "evt_fails")
	until(t, 60*time.Second, func() string {
		if len(dest.posts("evt_retry")) < 2 {
			return "no second attempt"
		}
		return ""
	})
	check("evt_retry", string(rivyaBody("evt_retry")), 2)

	// What has failed for good is delivered again by a replay.
	until(t, 90*time.Second, func() string { return w.status("failed", "evt_fails") })
	attempts := len(dest.posts("evt_fails"))
	dest.say(nil)
	answer := w.must(t, 202, "POST", "/api/v1/webhooks/"+id+"/replay", map[string]any{"since": time.Now().Add(-time.Hour).UTC().Format("2006-01-02T15:04:05.000Z")})
	until(t, 60*time.Second, func() string { return w.status("delivered", "evt_fails") })
	if n := len(dest.posts("evt_fails")); n != attempts+1 {
		t.Errorf("the replay made %d calls, want 1", n-attempts)
	}
	if replay := w.must(t, 200, "GET", "/api/v1/replays/"+answer["id"].(string), nil); replay["started"] != 1.0 {
		t.Errorf("the replay: %v", replay)
	}

	// The schedule starts the walk with nobody's help.
	until(t, 130*time.Second, func() string {
		for _, line := range w.lines(t, "/hookferry/"+w.stage+"/repair") {
			if strings.Contains(line, `"repair_walks":1`) {
				return ""
			}
		}
		return "no walk"
	})
}
