package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"hookferry/shared/config"
	"hookferry/shared/relay"
)

// get makes a call without a key.
func get(t testing.TB, url string) (int, string) {
	t.Helper()
	resp, err := plain.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestANodeSaysThatItLivesAndThatItIsReady(t *testing.T) {
	t.Parallel()
	r := dev(t, start{})
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, body := get(t, r.API+path); status != 200 || body != "ok\n" {
			t.Errorf("%s: %d %s", path, status, body)
		}
		resp, err := plain.Post(r.API+path, "text/plain", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %d", path, resp.StatusCode)
		}
	}
}

// A brokenStore does not find what it is asked for a reason of its own.
type brokenStore struct {
	relay.Store
	err error
}

func (s brokenStore) KeyByHash(context.Context, relay.KeyHash) (relay.Key, error) {
	return relay.Key{}, s.err
}

// A hangingQueue does not answer until its context ends.
type hangingQueue struct{ relay.DeadLetters }

func (hangingQueue) DeadCount(ctx context.Context) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

type quietQueue struct{ relay.DeadLetters }

func (quietQueue) DeadCount(context.Context) (int, error) { return 0, nil }

// Whoever asks learns what does not answer, and nothing else.
func TestReadinessNamesWhatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		store error
		queue relay.DeadLetters
		want  string
	}{
		{relay.ErrNotFound, quietQueue{}, "ok\n"},
		{errors.New("disk /dev/sda1 is on fire"), quietQueue{}, "no answer from: store\n"},
		{relay.ErrNotFound, hangingQueue{}, "no answer from: queue events\n"},
		{errors.New("x"), hangingQueue{}, "no answer from: queue events, store\n"},
	} {
		h := &health{store: brokenStore{err: c.store}, queues: map[string]relay.DeadLetters{"events": c.queue, "retries": quietQueue{}}}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
		if got := w.Body.String(); got != c.want || (w.Code == 200) != (c.want == "ok\n") {
			t.Errorf("%d %q, want %q", w.Code, got, c.want)
		}
		w = httptest.NewRecorder()
		if h.ServeHTTP(w, httptest.NewRequest("GET", "/healthz", nil)); w.Code != 200 {
			t.Errorf("it lives all the same: %d", w.Code)
		}
	}
}

// What a node does is shown as it is done, on a listener of its own.
func TestMetricsShowTheWorkOfANode(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	b, err := firstData(t.Context(), dir, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b.close()
	keys, err := openKeyring(dir)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = openData(t.Context(), dir, time.Hour, true); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.LoadDev(func(name string) (string, bool) { return "0s", name == "RETRY_SCHEDULE" })
	if err != nil {
		t.Fatal(err)
	}
	m, err := startMetrics(t.Context(), "127.0.0.1:0", b)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	acct, err := ensureAccount(t.Context(), b.store, "a")
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := newKey(t.Context(), b.store, acct.ID, "k", relay.Scopes(), 0)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.PublicURL = baseURL(ln)
	quiet := slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(t.Context())
	done, ready := make(chan error, 1), make(chan struct{})
	go func() {
		done <- newMeasuredNode(cfg, b, keys, quiet, quiet, m).run(ctx, ln, func() error { close(ready); return nil })
	}()
	<-ready
	r := &relayProc{t: t, API: baseURL(ln), Key: key.Reveal()}
	good, bad := newDestination(t, nil), newDestination(t, func(int, delivery) int { return 500 })
	r.endpoint(good.URL, "order.paid")
	r.endpoint(bad.URL, "order.lost")
	url, secret := r.rivyaSource()
	if status, _ := sendRivya(t, url, secret+"x", "evt_forged", []byte(strings.ReplaceAll(seedEvent, "evt_seed", "evt_forged"))); status != 401 {
		t.Errorf("a forged call is answered %d", status)
	}
	r.event(r.publish("order.paid"), "delivered")
	r.event(r.publish("order.lost"), "failed")
	eventually(t, 20*time.Second, func() string {
		_, text := get(t, m.address())
		for _, want := range []string{
			`(?m)^hookferry_attempts_delivered_total 1$`, `hookferry_attempts_failed_total\{code="http_error"\} 1`, `hookferry_calls_refused_total\{reason="[a-z_]+"\} 1`,
			`(?m)^hookferry_deliveries_exhausted_total 1$`, `(?m)^hookferry_calls_in_flight 0$`, `hookferry_queue_messages\{lane="events",state="due"\} 0`,
			`hookferry_queue_oldest_due_seconds\{lane="retries"\} 0`, `hookferry_queue_dead_letters\{lane="events"\} 0`,
			`hookferry_attempt_duration_seconds_count 2`, `hookferry_accept_to_attempt_seconds_count 2`, `hookferry_build_info\{.*version="devel"\} 1`, `go_goroutines`,
		} {
			if !regexp.MustCompile(want).MatchString(text) {
				return "no " + want + " in\n" + regexp.MustCompile(`(?m)^(#|go_|process_).*\n`).ReplaceAllString(text, "")
			}
		}
		return ""
	})
	if status, _ := get(t, r.API+"/metrics"); status == 200 {
		t.Error("the public listener shows metrics")
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A stuckLane deletes nothing for as long as it may take.
type stuckLane struct{ lane }

func (stuckLane) Delete(ctx context.Context, _ ...relay.Received) error {
	<-ctx.Done()
	return ctx.Err()
}

// A node that stops with a batch left says so, and its process exits with 1.
func TestANodeThatStopsWithABatchLeftFails(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	b, err := firstData(t.Context(), dir, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b.close()
	keys, err := openKeyring(dir)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = openData(t.Context(), dir, time.Hour, true); err != nil {
		t.Fatal(err)
	}
	b.events = stuckLane{b.events}
	if err := b.events.Send(t.Context(), relay.Outgoing{Body: []byte("no message")}); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.LoadDev(func(name string) (string, bool) { return "10ms", name == "DELIVERY_TIMEOUT" })
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- newNode(cfg, b, keys, quiet, quiet).run(ctx, ln, func() error { return nil }) }()
	eventually(t, 10*time.Second, func() string {
		if n, err := b.events.DeadCount(t.Context()); n != 1 || err != nil {
			return "the message is not in hand"
		}
		return ""
	})
	stop()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "still in hand") || exitCode(err) != exitFailed {
		t.Errorf("got %v, want a failure that says so", err)
	}
}

// What only a node of one's own needs is in no Lambda.
func TestNoLambdaLinksWhatOnlyANodeNeeds(t *testing.T) {
	t.Parallel()
	for _, f := range []string{"api", "receiver", "dispatcher"} {
		out, err := exec.Command("go", "list", "-deps", "hookferry/functions/"+f).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, no := range []string{"prometheus", "opentelemetry", "spf13", "modernc.org"} {
			if strings.Contains(string(out), no) {
				t.Errorf("functions/%s links %s", f, no)
			}
		}
		if !strings.Contains(string(out), "aws-lambda-go") {
			t.Errorf("functions/%s: its packages were not listed", f)
		}
	}
}
