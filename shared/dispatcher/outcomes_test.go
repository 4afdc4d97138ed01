package dispatcher_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"hookferry/shared/dispatcher"
	"hookferry/shared/egress"
	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

func TestEachOutcomeHasItsCode(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	r := newRig(t, func(c *dispatcher.Config) {
		c.DeliveryTimeout = 300 * time.Millisecond
		c.Client = egress.New(egress.Config{Policy: egress.Policy{AllowPrivate: true}, Resolver: func(_ context.Context, host string) ([]netip.Addr, error) {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}})
	})
	r.dest.answers(func(c call) reply {
		switch c.name {
		case "slow":
			return reply{hold: 5 * time.Second}
		case "moved":
			return reply{status: 302, location: r.dest.url + "/elsewhere"}
		case "choices":
			return reply{status: 300}
		case "same":
			return reply{status: 304}
		case "choice":
			return reply{status: 300, location: r.dest.url + "/elsewhere"}
		case "lost":
			return reply{status: 308}
		case "broken":
			return reply{status: 500, body: "oops"}
		case "notfound":
			return reply{status: 404}
		}
		return reply{status: 200}
	})
	for _, c := range []struct {
		name, url string
		code      relay.ErrorCode
		status    int
	}{
		{"slow", "", relay.CodeTimeout, 0},
		{"moved", "", relay.CodeRedirect, 302},
		{"choices", "", relay.CodeHTTPError, 300},
		{"same", "", relay.CodeHTTPError, 304},
		{"choice", "", relay.CodeRedirect, 300},
		{"lost", "", relay.CodeRedirect, 308},
		{"broken", "", relay.CodeHTTPError, 500},
		{"notfound", "", relay.CodeHTTPError, 404},
		{"refused", "http://" + closed.Addr().String() + "/x", relay.CodeConnectionFailed, 0},
		{"nodns", "http://nowhere.example.net/x", relay.CodeDNSFailure, 0},
		{"notls", strings.Replace(r.dest.url, "http:", "https:", 1) + "/x", relay.CodeTLSFailure, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			ep := r.endpoint(c.name, func(ep *relay.Endpoint) {
				ep.EventTypes = []string{"only." + c.name}
				if c.url != "" {
					ep.URL = c.url
				}
			})
			r.accept("evt_"+c.name, func(ev *relay.Event) { ev.Type = "only." + c.name })
			r.handle(r.events)
			as := r.attempts(ep.ID)
			if len(as) != 1 {
				t.Fatalf("got %d attempts", len(as))
			}
			a := as[0]
			if a.Status != relay.AttemptFailed || a.ErrorCode != c.code || a.HTTPStatus != c.status || a.ErrorMessage == "" {
				t.Errorf("got %+v", a)
			}
			if strings.Contains(a.ErrorMessage, "127.0.0.1") {
				t.Errorf("an internal address shows: %s", a.ErrorMessage)
			}
		})
	}
	if n := len(r.dest.to("elsewhere")); n != 0 {
		t.Error("a redirect was followed")
	}
}

func TestABlockedAddressIsAnOutcome(t *testing.T) {
	r := newRig(t, func(c *dispatcher.Config) { c.Client = egress.New(egress.Config{}) })
	r.endpoint("a", func(ep *relay.Endpoint) { ep.URL = "https://127.0.0.1/x" })
	r.accept("evt_1")
	if _, failed := r.handle(r.events); failed != 0 {
		t.Error("the message failed")
	}
	if as := r.attempts("whend_a"); len(as) != 1 || as[0].ErrorCode != relay.CodeAddressBlocked || as[0].NextAttemptAt.IsZero() {
		t.Errorf("got %+v", as)
	}
	if r.dest.count() != 0 {
		t.Error("called")
	}
}

func TestTheSnippetIsCutToValidText(t *testing.T) {
	huge := strings.Repeat("é", 600) + strings.Repeat("x", 1<<20)
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"failure", 500, huge, strings.Repeat("é", 512)},
		{"success", 200, huge, strings.Repeat("é", 128)},
		{"odd cut", 500, "x" + huge, "x" + strings.Repeat("é", 511)},
		{"short", 500, "no", "no"},
		{"growing", 500, strings.Repeat("a\xff", 1000), strings.Repeat("a\uFFFD", 256)},
		{"binary", 500, "a\xff\xfeb", "a\uFFFDb"},
		{"empty", 500, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.endpoint("a")
			r.dest.answers(func(call) reply { return reply{status: c.status, body: c.body} })
			r.accept("evt_1")
			r.settleNow()
			got := r.attempts("whend_a")[0].Snippet
			if got != c.want || !utf8.ValidString(got) {
				t.Errorf("got %d bytes %.20q, want %d bytes %.20q", len(got), got, len(c.want), c.want)
			}
		})
	}
}

func TestPastItsDeadlineADeliveryFailsWithoutACall(t *testing.T) {
	eachStore(t, func(t *testing.T, newRig func(testing.TB, ...func(*dispatcher.Config)) *rig) {
		r := newRig(t)
		r.endpoint("a")
		r.dest.always(500)
		r.accept("evt_1")
		r.settleNow()
		r.clock.Advance(relay.GiveUpAfter)
		r.accept("evt_2", func(ev *relay.Event) { ev.CreatedAt = ev.CreatedAt.Add(-relay.GiveUpAfter) })
		r.settleNow()
		if got := r.dest.count(); got != 1 {
			t.Errorf("got %d calls, want 1", got)
		}
		for _, id := range []string{"evt_1", "evt_2"} {
			if d, _ := r.deliveries(id); d["whend_a"].Status != relay.DeliveryFailed {
				t.Errorf("%s: %+v", id, d)
			}
		}
		for _, a := range r.attempts("whend_a") {
			if a.Final && (a.ErrorCode != relay.CodeExpired || a.HTTPStatus != 0) {
				t.Errorf("got %+v", a)
			}
		}
	})
}

func TestAMessageForAnEventThatHasExpiredEnds(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.dest.always(500)
	r.accept("evt_1")
	r.settleNow()
	r.clock.Advance(relaytest.Retention + time.Hour)
	r.settleNow()
	if left := r.onQueue(r.retries); len(left) != 0 || r.dest.count() != 1 {
		t.Errorf("%d calls, left: %+v", r.dest.count(), left)
	}
}

// A connection that the server has closed while it was idle costs no attempt.
func TestADeadKeptConnectionIsReplaced(t *testing.T) {
	r := newRig(t)
	conns := make(chan net.Conn, 10)
	server := &http.Server{Handler: r.dest, ConnState: func(c net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns <- c
		}
	}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	r.check(err)
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	r.endpoint("a", func(ep *relay.Endpoint) { ep.URL = "http://" + l.Addr().String() + "/a" })
	for i := range 5 {
		r.accept(fmt.Sprint("evt_", i))
		r.handle(r.events)
		(<-conns).Close()
	}
	for _, a := range r.attempts("whend_a") {
		if a.Status != relay.AttemptSucceeded {
			t.Errorf("got %+v", a)
		}
	}
}
