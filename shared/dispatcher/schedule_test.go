package dispatcher_test

import (
	"testing"
	"time"

	"hookferry/shared/dispatcher"
	"hookferry/shared/relay"
)

// eachStore runs a test on both kinds of adapters that need no network.
func eachStore(t *testing.T, test func(t *testing.T, newRig func(testing.TB, ...func(*dispatcher.Config)) *rig)) {
	t.Run("memory", func(t *testing.T) { test(t, newRig) })
	t.Run("sqlite", func(t *testing.T) { test(t, newSQLiteRig) })
}

// The default schedule, hop by hop: each attempt within 2 s of its time, never
// early, each hop within what a queue can delay.
func TestDefaultScheduleHopByHop(t *testing.T) {
	eachStore(t, func(t *testing.T, newRig func(testing.TB, ...func(*dispatcher.Config)) *rig) {
		r := newRig(t)
		r.endpoint("a")
		r.dest.always(500)
		start := relay.Millis(r.clock.Now())
		r.accept("evt_1")
		r.run(4 * time.Hour)

		calls, attempts := r.dest.to("a"), r.attempts("whend_a")
		if len(calls) != 5 || len(attempts) != 5 {
			t.Fatalf("got %d calls and %d attempts on record, want 5", len(calls), len(attempts))
		}
		due := start
		for i, wait := range relay.DefaultSchedule() {
			due = due.Add(wait)
			a := attempts[i]
			if late := calls[i].at.Sub(due); late < 0 || late > 2*time.Second {
				t.Errorf("attempt %d: %v late", i+1, late)
			}
			final := i == 4
			if a.Number != i+1 || a.Run != 0 || a.Status != relay.AttemptFailed || a.Final != final || a.NextAttemptAt.IsZero() != final ||
				!a.DueAt.Equal(due) || a.HTTPStatus != 500 || a.ErrorCode != relay.CodeHTTPError {
				t.Errorf("attempt %d: %+v, due %v", i+1, a, due)
			}
			due = calls[i].at // the next wait counts from the end of this one
		}
		// 1 min, 5 min, 30 min = 2 hops, 2 h = 8 hops.
		if got, want := r.retries.seen()["Send"], 1+1+2+8; got != want {
			t.Errorf("got %d sends on the retries queue, want %d", got, want)
		}
		if d, listed := r.deliveries("evt_1"); !listed || d["whend_a"].Status != relay.DeliveryFailed || d["whend_a"].Attempts != 5 {
			t.Errorf("listed %v, deliveries %+v", listed, d)
		}
		if got := r.status("evt_1"); got != relay.EventFailed {
			t.Errorf("event is %s", got)
		}
	})
}

func TestFifthFailureIsTheLast(t *testing.T) {
	r := newRig(t, func(c *dispatcher.Config) {
		c.Schedule = relay.Schedule{0, time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second}
	})
	r.endpoint("a")
	r.dest.always(503)
	r.accept("evt_1")
	r.run(time.Minute)
	if got := len(r.dest.to("a")); got != 5 {
		t.Errorf("got %d calls, want 5", got)
	}
	if left := append(r.onQueue(r.events), r.onQueue(r.retries)...); len(left) != 0 {
		t.Errorf("messages are left: %+v", left)
	}
	r.run(24 * time.Hour)
	if got := len(r.dest.to("a")); got != 5 {
		t.Errorf("a day later: got %d calls, want 5", got)
	}
}

func TestASuccessEndsTheRun(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	n := 0
	r.dest.answers(func(call) reply {
		if n++; n < 3 {
			return reply{status: 500}
		}
		return reply{status: 204}
	})
	r.accept("evt_1")
	r.run(6 * time.Hour)
	as := r.attempts("whend_a")
	if len(as) != 3 || as[2].Status != relay.AttemptSucceeded || !as[2].Final || !as[2].NextAttemptAt.IsZero() {
		t.Errorf("got %+v", as)
	}
	if got := r.status("evt_1"); got != relay.EventDelivered {
		t.Errorf("event is %s", got)
	}
}

func TestRetryAfterOnlyLengthensAWait(t *testing.T) {
	r := newRig(t)
	now := r.clock.Now()
	for _, c := range []struct {
		status int
		header string
		want   time.Duration
	}{
		{429, "90", 90 * time.Second},
		{503, "3600", time.Hour},
		{503, now.Add(10 * time.Minute).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"), 10 * time.Minute},
		{503, now.Add(-time.Hour).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"), time.Minute},
		{429, "5", time.Minute},
		{429, "99999999999999999999", relay.MaxRetryAfter},
		{503, "86400", relay.MaxRetryAfter},
		{429, "soon", time.Minute},
		{429, "-5", time.Minute},
		{500, "3600", time.Minute},
		{404, "3600", time.Minute},
	} {
		t.Run(c.header, func(t *testing.T) {
			r := newRig(t)
			r.endpoint("a")
			r.dest.answers(func(call) reply { return reply{status: c.status, retryAfter: c.header} })
			r.accept("evt_1")
			r.settleNow()
			as := r.attempts("whend_a")
			if len(as) != 1 {
				t.Fatalf("got %d attempts", len(as))
			}
			if got := as[0].NextAttemptAt.Sub(as[0].CreatedAt); got != c.want {
				t.Errorf("status %d: next attempt after %v, want %v", c.status, got, c.want)
			}
		})
	}
}

func TestHopsShareARequest(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.dest.always(500)
	r.retries.reset()
	due := r.clock.Now().Add(2 * time.Hour)
	for range 10 {
		r.send(r.retries, relay.NewAttemptMessage(r.newEvent("evt_1").Ref(), "whend_a", 0, 5, due, due.Add(time.Hour)))
	}
	r.retries.sent = nil
	r.clock.Advance(relay.MaxDelay)
	r.handle(r.retries)
	if len(r.retries.sent) != 1 || r.retries.sent[0] != 10 {
		t.Errorf("requests of %v messages, want one of 10", r.retries.sent)
	}
	if r.dest.count() != 0 {
		t.Error("a call was made before its time")
	}
}

// Successors of attempts that fail together share a request too.
func TestSuccessorsShareARequest(t *testing.T) {
	r := newRig(t)
	r.endpoint("a")
	r.dest.always(500)
	for i := range 10 {
		r.accept("evt_" + string(rune('a'+i)))
	}
	r.handle(r.events)
	sent := 0
	for _, n := range r.retries.sent {
		sent += n
	}
	if sent != 10 || len(r.retries.sent) > 3 {
		t.Errorf("requests of %v messages, want 10 in few", r.retries.sent)
	}
}

// A message that comes early, by however little, waits: a Retry-After is a
// promise too.
func TestAnEarlyMessageWaitsForItsTime(t *testing.T) {
	for _, early := range []time.Duration{time.Millisecond, 30 * time.Second, 10 * time.Minute} {
		r := newRig(t)
		r.endpoint("a")
		r.dest.always(500)
		r.accept("evt_1")
		r.settleNow()
		due := r.attempts("whend_a")[0].NextAttemptAt
		r.clock.Set(due.Add(-early))
		m := r.onQueue(r.retries)[0]
		if err := r.retries.Send(t.Context(), relay.Outgoing{Body: m.Encode()}); err != nil {
			t.Fatal(err)
		}
		r.handle(r.retries)
		if got := len(r.dest.to("a")); got != 1 {
			t.Errorf("%v early: got %d calls, want 1", early, got)
		}
	}
}
