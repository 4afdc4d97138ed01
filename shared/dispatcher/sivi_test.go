package dispatcher_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hookferry/shared/dispatcher"
	"hookferry/shared/egress"
	"hookferry/shared/relay"
	"hookferry/shared/seal"
	"hookferry/shared/sivi"
)

// A siviServer stands in for Sivi's request-status call. It answers what status
// says: a status word, "404", "500", or "slow".
type siviServer struct {
	mu    sync.Mutex
	word  string
	asked []string // the times, by the rig's clock
	rig   *rig
}

func (s *siviServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	s.mu.Lock()
	word := s.word
	s.asked = append(s.asked, relay.FormatTime(s.rig.clock.Now()))
	s.mu.Unlock()
	if req.Header.Get("sivi-api-key") != "sivi-key" || !strings.Contains(req.URL.Query().Get("queryParams"), `"r1"`) {
		word = "401"
	}
	switch word {
	case "401", "404", "500":
		var code int
		fmt.Sscan(word, &code)
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"status":%d,"body":{"message":"no"}}`, code)
	case "slow":
		select {
		case <-time.After(5 * time.Second):
		case <-req.Context().Done():
		}
	default:
		if strings.HasPrefix(word, "{") {
			io.WriteString(w, word)
			return
		}
		io.WriteString(w, siviBody(word))
	}
}

func (s *siviServer) says(word string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.word = word
}

func (s *siviServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

func siviBody(status string) string {
	return `{"status":200,"body":{"status":"` + status + `","requestId":"r1","result":null}}`
}

// newSiviRig returns a rig with a Sivi source that has a key, an endpoint a in
// format sivi, and Sivi.
func newSiviRig(t testing.TB, confirm relay.Confirm) (*rig, *siviServer) {
	s := &siviServer{word: "complete"}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	r := newRig(t, func(c *dispatcher.Config) {
		c.DeliveryTimeout = 500 * time.Millisecond
		c.Sivi = sivi.NewClient(server.URL, egress.New(egress.Config{Policy: egress.Policy{AllowPrivate: true}}))
	})
	s.rig = r
	src := relay.Source{ID: "src_1", Account: account, Provider: relay.Sivi, Status: relay.Active, API: "general", Confirm: confirm}
	src.APIKey = r.keys.Seal("sivi-key", seal.Place{Account: account, Object: "src_1", Field: "sivi_api_key"})
	r.check(r.store.CreateSource(t.Context(), src, 10))
	r.endpoint("a", func(ep *relay.Endpoint) { ep.Format = relay.FormatSivi })
	return r, s
}

// siviCall accepts a call of Sivi's with a status.
func (r *rig) siviCall(status string, confirm relay.Confirm) relay.Event {
	return r.siviPost(siviBody(status), confirm)
}

// siviPost accepts a call of Sivi's with a body.
func (r *rig) siviPost(body string, confirm relay.Confirm) relay.Event {
	r.Helper()
	c, err := sivi.Parse([]byte(body))
	r.check(err)
	id := sivi.EventID("src_1", c, []byte(body))
	return *r.accept(id, func(ev *relay.Event) {
		ev.Type, ev.Format, ev.VerifiedBy, ev.Confirm = c.Type, relay.FormatSivi, relay.VerifiedByToken, confirm
		ev.Payload = relay.NewPayload([]byte(body))
	}).Event
}

func TestAConfirmedEventIsRelayed(t *testing.T) {
	r, s := newSiviRig(t, relay.ConfirmRequire)
	ev := r.siviCall("complete", relay.ConfirmRequire)
	r.settleNow()
	if got := r.dest.to("a"); len(got) != 1 || got[0].body != siviBody("complete") || s.count() != 1 {
		t.Errorf("calls %+v, asked %d times", got, s.count())
	}
	if got := r.status(ev.ID); got != relay.EventDelivered {
		t.Errorf("event is %q", got)
	}
}

func TestAContradictedEventIsRejectedAtOnce(t *testing.T) {
	for _, confirm := range []relay.Confirm{relay.ConfirmPrefer, relay.ConfirmRequire} {
		r, s := newSiviRig(t, confirm)
		s.says("failed")
		ev := r.siviCall("complete", confirm)
		r.run(12 * time.Hour)
		if r.dest.count() != 0 || s.count() != 1 || r.status(ev.ID) != relay.EventRejected {
			t.Errorf("%s: %d calls, asked %d times, event is %q", confirm, r.dest.count(), s.count(), r.status(ev.ID))
		}
		if d, _ := r.deliveries(ev.ID); d["whend_a"].Open() || d[relay.Confirmation].Status != relay.DeliveryRejected {
			t.Errorf("%s: %+v", confirm, d)
		}
		if n, err := r.d.Repair(t.Context()); n != 0 || err != nil {
			t.Errorf("%s: overdue %d, %v", confirm, n, err)
		}
	}
}

// Sivi's answer may be older than its call, or Sivi out of reach: it is asked on
// the retry schedule.
func TestConfirmationIsAskedForOnTheSchedule(t *testing.T) {
	for _, word := range []string{"processing", "404", "500", "401", "slow"} {
		t.Run(word, func(t *testing.T) {
			r, s := newSiviRig(t, relay.ConfirmRequire)
			s.says(word)
			ev := r.siviCall("complete", relay.ConfirmRequire)
			r.run(30 * time.Second)
			if got := r.status(ev.ID); got != relay.EventPending || r.dest.count() != 0 {
				t.Errorf("event is %q, %d calls", got, r.dest.count())
			}
			if d, _ := r.deliveries(ev.ID); d[relay.Confirmation].Status != relay.DeliveryRetrying || d["whend_a"].Status != relay.DeliveryPending {
				t.Errorf("deliveries: %+v", d)
			}
			r.run(3 * time.Minute)
			s.says("complete")
			r.run(10 * time.Minute)
			if got := r.dest.to("a"); len(got) != 1 || s.count() != 3 || r.status(ev.ID) != relay.EventDelivered {
				t.Errorf("%d calls, asked %d times, event is %q", len(got), s.count(), r.status(ev.ID))
			}
			if d, _ := r.deliveries(ev.ID); d[relay.Confirmation].Status != relay.DeliverySucceeded {
				t.Errorf("deliveries: %+v", d)
			}
		})
	}
}

func TestWhatCannotBeConfirmedToTheEnd(t *testing.T) {
	for _, c := range []struct {
		confirm relay.Confirm
		word    string
		calls   int
		status  relay.EventStatus
		check   relay.DeliveryStatus
	}{
		{relay.ConfirmPrefer, "500", 1, relay.EventDelivered, relay.DeliverySkipped},
		{relay.ConfirmRequire, "500", 0, relay.EventRejected, relay.DeliveryRejected},
		{relay.ConfirmPrefer, "processing", 0, relay.EventRejected, relay.DeliveryRejected},
		{relay.ConfirmRequire, "404", 0, relay.EventRejected, relay.DeliveryRejected},
	} {
		t.Run(string(c.confirm)+" "+c.word, func(t *testing.T) {
			r, s := newSiviRig(t, c.confirm)
			s.says(c.word)
			ev := r.siviCall("complete", c.confirm)
			r.run(4 * time.Hour)
			if s.count() != 5 || r.dest.count() != c.calls || r.status(ev.ID) != c.status {
				t.Errorf("asked %d times, %d calls, event is %q", s.count(), r.dest.count(), r.status(ev.ID))
			}
			if d, _ := r.deliveries(ev.ID); d[relay.Confirmation].Status != c.check {
				t.Errorf("deliveries: %+v", d)
			}
			if left := append(r.onQueue(r.events), r.onQueue(r.retries)...); len(left) != 0 {
				t.Errorf("left: %+v", left)
			}
		})
	}
}

func TestWithoutAKeyNothingIsAsked(t *testing.T) {
	for confirm, want := range map[relay.Confirm]relay.EventStatus{relay.ConfirmPrefer: relay.EventDelivered, relay.ConfirmRequire: relay.EventRejected} {
		r, s := newSiviRig(t, confirm)
		r.check(r.store.DeleteSource(t.Context(), account, "src_1"))
		ev := r.siviCall("complete", confirm)
		r.settleNow()
		if s.count() != 0 || r.status(ev.ID) != want {
			t.Errorf("%s: asked %d times, event is %q", confirm, s.count(), r.status(ev.ID))
		}
	}
}

// The message that made an attempt and could not send its successor finds the
// confirmation settled by a copy that repair sent: it still has to send it.
func TestAQuestionSettledByACopyLeavesNoAttemptUnfollowed(t *testing.T) {
	r, _ := newSiviRig(t, relay.ConfirmRequire)
	r.dest.always(500)
	r.siviCall("complete", relay.ConfirmRequire)
	r.retries.fail("Send")
	if _, failed := r.handle(r.events); failed != 1 {
		t.Fatal("the message did not fail")
	}
	r.retries.heal()
	r.clock.Advance(11 * time.Minute)
	if n, err := r.d.Repair(t.Context()); n == 0 || err != nil {
		t.Fatal(n, err)
	}
	r.handle(r.retries) // the copies come first
	r.run(time.Minute)
	if as := r.attempts("whend_a"); len(as) < 2 || as[1].Number != 2 {
		t.Errorf("got %+v, want a second attempt", as)
	}
}

// A confirmation dies between any two of its steps and goes on.
func TestAConfirmationSurvivesCrashes(t *testing.T) {
	for _, op := range []string{"ListEvent", "SaveDelivery", "Send", "RecordAttempt+Send"} {
		t.Run(op, func(t *testing.T) {
			r, s := newSiviRig(t, relay.ConfirmRequire)
			s.says("500")
			break1 := func() {
				for _, o := range strings.Split(op, "+") {
					if o == "Send" {
						r.retries.fail("Send")
					} else {
						r.store.fail(o)
					}
				}
			}
			ev := r.siviCall("complete", relay.ConfirmRequire)
			break1()
			r.handle(r.events)
			r.store.heal()
			r.retries.heal()
			r.run(30 * time.Second)
			s.says("complete")
			r.clock.Advance(40 * time.Second)
			break1()
			r.handle(r.retries)
			r.store.heal()
			r.retries.heal()
			r.run(30 * time.Minute)
			if got := r.status(ev.ID); got != relay.EventDelivered {
				t.Errorf("event is %q", got)
			}
			if got := len(r.attempts("whend_a")); got != 1 {
				t.Errorf("%d attempts on record", got)
			}
			if left := append(r.onQueue(r.events), r.onQueue(r.retries)...); len(left) != 0 {
				t.Errorf("left: %+v", left)
			}
		})
	}
}

// Two copies of a question do not relay the event twice.
func TestACopyOfAQuestionIsPutBackWhileTheFirstIsAtWork(t *testing.T) {
	r, s := newSiviRig(t, relay.ConfirmRequire)
	s.says("500")
	r.siviCall("complete", relay.ConfirmRequire)
	r.settleNow()
	s.says("complete")
	r.clock.Advance(time.Minute)
	m := r.onQueue(r.retries)[0]
	var once atomic.Bool
	r.dest.answers(func(call) reply {
		if once.CompareAndSwap(false, true) {
			r.send(r.retries, m)
			r.handle(r.retries)
		}
		return reply{status: 200}
	})
	r.handle(r.retries)
	r.run(5 * time.Minute)
	if got := r.dest.count(); got != 1 || s.count() != 2 {
		t.Errorf("got %d calls, asked %d times, want 1 and 2", got, s.count())
	}
}

// What is not confirmed is not overdue: repair must not relay it.
func TestRepairRelaysNothingUnconfirmed(t *testing.T) {
	r, s := newSiviRig(t, relay.ConfirmRequire)
	s.says("500")
	r.siviCall("complete", relay.ConfirmRequire)
	r.run(20 * time.Minute) // between the third question and the fourth
	if n, err := r.d.Repair(t.Context()); n != 0 || err != nil {
		t.Errorf("overdue %d, %v", n, err)
	}
	r.settleNow()
	if got := r.dest.count(); got != 0 {
		t.Errorf("got %d calls", got)
	}
}

func TestRepairAsksAgainForAConfirmation(t *testing.T) {
	r, s := newSiviRig(t, relay.ConfirmRequire)
	s.says("500")
	ev := r.siviCall("complete", relay.ConfirmRequire)
	r.settleNow()
	r.clock.Advance(time.Minute)
	batch, err := r.retries.Receive(t.Context(), 10, 0, time.Minute)
	r.check(err)
	r.check(r.retries.Delete(t.Context(), batch...)) // lost
	s.says("complete")
	r.clock.Advance(11 * time.Minute)
	if n, err := r.d.Repair(t.Context()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	r.settleNow()
	if got := r.status(ev.ID); got != relay.EventDelivered || r.dest.count() != 1 {
		t.Errorf("event is %q, %d calls", got, r.dest.count())
	}
}
