package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"hookferry/shared/client"
	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

// listening starts listen in a process of its own and returns once its endpoint is
// there.
func listening(t *testing.T, r *relayProc, args ...string) (cmd *exec.Cmd, out *lockedBuffer) {
	t.Helper()
	out = new(lockedBuffer)
	cmd = hookferry(t, []string{"HOOKFERRY_URL=" + r.API, "HOOKFERRY_API_KEY=" + r.Key}, append([]string{"listen"}, args...)...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	eventually(t, 20*time.Second, func() string {
		if !strings.Contains(out.String(), "listening on") {
			return "it says: " + out.String()
		}
		return ""
	})
	return cmd, out
}

func (r *relayProc) publish(typ string) string {
	r.t.Helper()
	return r.call(202, "POST", "/api/v1/webhook-events", map[string]any{"type": typ, "data": map[string]any{}})["id"].(string)
}

// liveEndpoints are the endpoints that are not deleted.
func (r *relayProc) liveEndpoints() (n int) {
	r.t.Helper()
	for _, e := range r.list("/api/v1/webhooks") {
		if e["revoked_at"] == nil {
			n++
		}
	}
	return n
}

// What is sent on is what came, signature and all, and the relay is answered what
// the receiver answers.
func TestListenSendsOnWhatCame(t *testing.T) {
	t.Parallel()
	r := dev(t, start{env: []string{"RETRY_SCHEDULE=0s,1s"}})
	dest := newDestination(t, func(n int, _ delivery) int { return map[bool]int{true: 503, false: 202}[n == 1] })
	_, out := listening(t, r, "-forward", dest.URL+"/hook?x=1", "-n", "2")
	id := r.publish("order.paid")
	got := dest.wait(t, 2, 20*time.Second)
	r.event(id, "delivered")
	if a, b := got[0].header.Get("Rivya-Webhook-Attempt"), got[1].header.Get("Rivya-Webhook-Attempt"); a != "1" || b != "2" {
		t.Errorf("attempts %s and %s were sent on, want 1 and 2", a, b)
	}
	if got[0].header.Get("Rivya-Webhook-Id") != id || got[0].header.Get("Rivya-Webhook-Signature") == "" || !bytes.Contains(got[0].body, []byte(id)) {
		t.Errorf("what was sent on is not what came: %v %s", got[0].header, got[0].body)
	}
	eventually(t, 10*time.Second, func() string {
		for _, want := range []string{"order.paid", "signature right, Standard Webhooks right", "→ " + dest.URL + "/hook?x=1  503 in ", "thanks", "← 503 after", "← 202 after"} {
			if !strings.Contains(out.String(), want) {
				return "no " + want + " in\n" + out.String()
			}
		}
		return ""
	})
}

func TestListenAnswersInTurn(t *testing.T) {
	t.Parallel()
	r := dev(t, start{env: []string{"RETRY_SCHEDULE=0s,100ms,100ms"}})
	cmd, out := listening(t, r, "-respond", "500,410,204", "-delay", "1ms", "-json", "-n", "3")
	id := r.publish("order.paid")
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	var statuses []int
	for line := range strings.Lines(out.String()) {
		var s shown
		if json.Unmarshal([]byte(line), &s) != nil {
			continue // said to a person
		}
		statuses = append(statuses, s.Status)
		if s.EventID != id || s.Type != "order.paid" || s.Signature != "right" || s.Standard != "right" || s.Method != "POST" || s.TookMS < 1 || !bytes.Contains(s.Body, []byte(id)) {
			t.Errorf("got %+v", s)
		}
	}
	if len(statuses) != 3 || statuses[0] != 500 || statuses[1] != 410 || statuses[2] != 204 {
		t.Errorf("answered %v, want 500, 410, 204", statuses)
	}
	if n := r.liveEndpoints(); n != 0 {
		t.Errorf("%d endpoints are left", n)
	}
}

// The endpoint goes however the process ends: it is killed here.
func TestListenLeavesNothingBehindWhenItIsKilled(t *testing.T) {
	t.Parallel()
	r := dev(t, start{})
	cmd, _ := listening(t, r)
	if n := r.liveEndpoints(); n != 1 {
		t.Fatalf("%d endpoints while it listens: %v", n, r.list("/api/v1/webhooks"))
	}
	cmd.Process.Signal(syscall.SIGKILL)
	eventually(t, 20*time.Second, func() string {
		if r.liveEndpoints() != 0 {
			return "the endpoint is still there"
		}
		return ""
	})
}

// What an earlier listen left all the same is deleted by the next; what another
// listen uses, or a person made, is not.
func TestListenSweepsWhatNobodyListensTo(t *testing.T) {
	t.Parallel()
	r := dev(t, start{})
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	used := newDestination(t, nil)
	for _, e := range [][2]string{{listenName, "http://" + gone.Addr().String() + "/"}, {listenName, used.URL}, {"mine", "http://" + gone.Addr().String() + "/mine"}} {
		r.call(201, "POST", "/api/v1/webhooks", map[string]any{"name": e[0], "url": e[1], "event_types": []string{"*"}})
	}
	api, err := client.New(r.API, relay.Secret(r.Key))
	if err != nil {
		t.Fatal(err)
	}
	sweep(t.Context(), api)
	for _, e := range r.list("/api/v1/webhooks") {
		if deleted := e["revoked_at"] != nil; deleted != (e["name"] == listenName && e["url"] != used.URL) {
			t.Errorf("%v at %v: deleted %v", e["name"], e["url"], deleted)
		}
	}
}

// Of a relay that cannot reach this machine the events are followed, and sent on as
// if they had been delivered, signed with a secret of one's own.
func TestListenFollowsARelayElsewhere(t *testing.T) {
	t.Parallel()
	r := dev(t, start{})
	dest := newDestination(t, nil)
	api, err := client.New(r.API, relay.Secret(r.Key))
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string]relay.Secret{"signed": relay.NewSigningSecret(), "unsigned": ""} {
		var out lockedBuffer
		p := program{out: &out, err: &out, lookup: func(string) (string, bool) { return "", false }}
		to, err := newForwarder(dest.URL)
		if err != nil {
			t.Fatal(err)
		}
		l := &listener{view: view{out: &out}, prefix: "Rivya", forward: to, stopAfter: 1, done: make(chan struct{})}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		types := "order." + name
		done := make(chan error, 1)
		go func() { done <- l.followRelay(ctx, p, api, listenOptions{types: &types}, secret) }()
		for before := len(dest.deliveries()); len(dest.deliveries()) == before && ctx.Err() == nil; pause(ctx, 300*time.Millisecond) {
			r.publish(types)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		cancel()
		got := dest.deliveries()[len(dest.deliveries())-1]
		err = signature.VerifyRivya(got.header.Get("Rivya-Webhook-Signature"), got.header.Get("Rivya-Webhook-Timestamp"), got.body, time.Now(), secret)
		if (err == nil) != (secret != "") {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Contains(got.body, []byte(`"`+types+`"`)) || !strings.Contains(out.String(), types) {
			t.Errorf("%s: sent on %s\n%s", name, got.body, out.String())
		}
	}
}

func TestListenRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"listen -respond 500,ok":                             "not a final HTTP status",
		"listen -respond ,":                                  "with commas",
		"listen -status 100":                                 "200 to 599",
		"listen -delay 2h":                                   "0s to 1m",
		"listen -forward localhost:3000":                     "like http://localhost:3000/hook",
		"listen -forward http://localhost:1 -respond 500":    "give one of them",
		"listen -addr 0.0.0.0:9000 -key-file /dev/null":      "-addr",
		"listen -secret-file /none":                          "-secret-file",
		"listen -addr 10.0.0.1:9000 -secret-file /etc/hosts": "loopback",
	} {
		code, _, stderr := cli(t, nil, strings.Fields(line)...)
		if code == 0 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, %s, want %s", line, code, stderr, want)
		}
	}
}
