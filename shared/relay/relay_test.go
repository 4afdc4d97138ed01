package relay

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var t0 = time.Date(2026, 5, 11, 0, 0, 0, 123e6, time.UTC)

func TestIDsSortInTheOrderTheyWereMade(t *testing.T) {
	last := ""
	for i := range 5000 {
		id := NewID(EndpointPrefix, t0.Add(time.Duration(i/1000)*time.Millisecond))
		if id <= last {
			t.Fatalf("id %d: %s is not after %s", i, id, last)
		}
		last = id
	}
}

func TestAttemptIDIsFixedByTheAttemptAndSortsByTime(t *testing.T) {
	a := AttemptID("acct_a", "evt_1", "whend_1", 0, 1, t0)
	if b := AttemptID("acct_a", "evt_1", "whend_1", 0, 1, t0); a != b {
		t.Errorf("same attempt: %s and %s", a, b)
	}
	later := t0.Add(time.Millisecond)
	for _, b := range []string{
		AttemptID("acct_a", "evt_1", "whend_1", 1, 1, t0), AttemptID("acct_a", "evt_1", "whend_1", 0, 2, t0),
		AttemptID("acct_a", "evt_1", "whend_2", 0, 1, t0), AttemptID("acct_b", "evt_1", "whend_1", 0, 1, t0),
		AttemptID("acct_a", "evt_1w", "hend_1", 0, 1, t0),
	} {
		if a == b {
			t.Errorf("two attempts share %s", a)
		}
		if b >= AttemptIDFloor(later) || b < AttemptIDFloor(t0) {
			t.Errorf("%s is not between the floors of its millisecond", b)
		}
	}
	if !ValidAttemptID(a) || ValidAttemptID(a[1:]) || ValidAttemptID("att_") {
		t.Error("ValidAttemptID is wrong")
	}
}

func TestSecretsRedactThemselves(t *testing.T) {
	s := NewSigningSecret()
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "secret", s, "in", struct{ S Secret }{s})
	for _, out := range []string{
		fmt.Sprint(s), fmt.Sprintf("%v %s %q %#v %x", s, s, s, s, s),
		fmt.Sprintf("%+v", struct{ S Secret }{s}), logged.String(),
	} {
		if strings.Contains(out, s.Reveal()) || strings.Contains(out, fmt.Sprintf("%x", s.Reveal())) {
			t.Errorf("the secret shows in %q", out)
		}
	}
	if got, want := Secret("whsec_12345678901234567890abc123").Preview(), "whsec_12...abc123"; got != want {
		t.Errorf("preview: got %q, want %q", got, want)
	}
	if got := len(NewAPIKey()); got != len(APIKeyPrefix)+43 {
		t.Errorf("API key: got %d characters", got)
	}
}

func TestScheduleIsOneTwoThreeAndDone(t *testing.T) {
	s, err := ParseSchedule(" 0s, 1m,5m,30m,2h")
	if err != nil || s.String() != DefaultSchedule().String() {
		t.Fatalf("got %v, %v", s, err)
	}
	for _, c := range []struct {
		n          int
		retryAfter time.Duration
		want       time.Duration
		more       bool
	}{
		{1, 0, time.Minute, true},
		{2, 0, 5 * time.Minute, true},
		{3, 0, 30 * time.Minute, true},
		{4, 0, 2 * time.Hour, true},
		{5, 0, 0, false},
		{5, time.Hour, 0, false},
		{0, 0, 0, false},
		{1, time.Second, time.Minute, true},
		{1, time.Hour, time.Hour, true},
		{4, 9 * time.Hour, MaxRetryAfter, true},
		{1, -time.Hour, time.Minute, true},
	} {
		if got, more := s.After(c.n, c.retryAfter); got != c.want || more != c.more {
			t.Errorf("after attempt %d with Retry-After %v: got %v %v, want %v %v", c.n, c.retryAfter, got, more, c.want, c.more)
		}
	}
	for _, bad := range []string{"", "1", "1m,2m", "0s,,2m", "0s,-1s", "0s,25h", "0s,1us", "0s," + strings.Repeat("1s,", 20) + "1s"} {
		if _, err := ParseSchedule(bad); err == nil {
			t.Errorf("schedule %q: no error", bad)
		}
	}
}

func TestHopNeverExceedsTheQueuesDelayNorComesEarly(t *testing.T) {
	for _, c := range []struct{ wait, want time.Duration }{
		{-time.Hour, 0},
		{0, 0},
		{time.Millisecond, time.Second},
		{time.Minute, time.Minute},
		{1500 * time.Millisecond, 2 * time.Second},
		{900 * time.Second, 900 * time.Second},
		{2 * time.Hour, 900 * time.Second},
	} {
		if got := Hop(t0.Add(c.wait), t0); got != c.want {
			t.Errorf("wait %v: got %v, want %v", c.wait, got, c.want)
		}
	}
}

func TestStatusOfAnEvent(t *testing.T) {
	ds := func(statuses ...DeliveryStatus) (out []Delivery) {
		for i, s := range statuses {
			out = append(out, Delivery{EndpointID: fmt.Sprint("whend_", i), Status: s})
		}
		return out
	}
	confirmation := func(s DeliveryStatus, rest ...Delivery) []Delivery {
		return append(rest, Delivery{EndpointID: Confirmation, Status: s})
	}
	for _, c := range []struct {
		deliveries []Delivery
		want       EventStatus
	}{
		{nil, EventUnmatched},
		{ds(DeliverySucceeded, DeliverySucceeded), EventDelivered},
		{ds(DeliverySucceeded, DeliverySkipped), EventDelivered},
		{ds(DeliverySkipped), EventSkipped},
		{ds(DeliverySucceeded, DeliveryPending), EventPending},
		{ds(DeliverySucceeded, DeliveryRetrying), EventPending},
		{ds(DeliveryRetrying, DeliveryFailed, DeliverySucceeded), EventFailed},
		{confirmation(DeliveryPending, ds(DeliveryPending)...), EventPending},
		{confirmation(DeliveryRejected, ds(DeliveryPending)...), EventRejected},
		{confirmation(DeliverySucceeded, ds(DeliverySucceeded)...), EventDelivered},
		{confirmation(DeliverySucceeded), EventUnmatched},
		{confirmation(DeliverySkipped, ds(DeliverySucceeded)...), EventDelivered},
	} {
		if got := StatusOf(c.deliveries); got != c.want {
			t.Errorf("%v: got %s, want %s", c.deliveries, got, c.want)
		}
	}
}

func TestMatchSaysWhy(t *testing.T) {
	ev := Event{Type: "generation.succeeded", Format: FormatRivya, SourceID: "src_1"}
	ep := Endpoint{ID: "whend_1", EventTypes: []string{"*"}, Format: FormatRivya, Status: Active}
	for _, c := range []struct {
		name string
		edit func(*Event, *Endpoint)
		want Mismatch
	}{
		{"all", func(*Event, *Endpoint) {}, Matches},
		{"named", func(_ *Event, p *Endpoint) { p.EventTypes = []string{ev.Type} }, Matches},
		{"other type", func(_ *Event, p *Endpoint) { p.EventTypes = []string{"generation.failed"} }, MismatchType},
		{"test under *", func(e *Event, _ *Endpoint) { e.Type = TypeTest }, MismatchType},
		{"ours under *", func(e *Event, _ *Endpoint) { e.Type = "endpoint.disabled" }, MismatchType},
		{"test named", func(e *Event, p *Endpoint) { e.Type, p.EventTypes = TypeTest, []string{"*", TypeTest} }, Matches},
		{"source named", func(_ *Event, p *Endpoint) { p.SourceIDs = []string{"src_1"} }, Matches},
		{"other source", func(_ *Event, p *Endpoint) { p.SourceIDs = []string{"src_2"} }, MismatchSource},
		{"published, source named", func(e *Event, p *Endpoint) { e.SourceID, p.SourceIDs = "", []string{"src_2"} }, MismatchSource},
		{"rivya to sivi", func(_ *Event, p *Endpoint) { p.Format = FormatSivi }, MismatchFormat},
		{"sivi to sivi", func(e *Event, p *Endpoint) { e.Format, p.Format = FormatSivi, FormatSivi }, Matches},
		{"sivi to rivya", func(e *Event, _ *Endpoint) { e.Format = FormatSivi }, Matches},
		{"disabled", func(_ *Event, p *Endpoint) { p.Status = Disabled }, MismatchDisabled},
		{"disabled, other type", func(e *Event, p *Endpoint) { p.Status, e.Type = Disabled, TypeTest }, MismatchType},
		{"test of it while disabled", func(e *Event, p *Endpoint) { p.Status, e.Type, e.Only = Disabled, TypeTest, p.ID }, Matches},
		{"test of another", func(e *Event, _ *Endpoint) { e.Type, e.Only = TypeTest, "whend_2" }, MismatchOnly},
	} {
		e, p := ev, ep
		c.edit(&e, &p)
		if got := p.Match(e); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestCountersFollowTheOutcomes(t *testing.T) {
	fail := func(at time.Time) Outcomes {
		return Outcomes{LastFailureAt: at, FailuresAfter: 1, FailingSince: at}
	}
	ok := func(at time.Time) Outcomes { return Outcomes{LastSuccessAt: at} }
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	steps := []Outcomes{fail(at(0)), fail(at(1)), ok(at(2)), fail(at(3)), fail(at(4))}
	var one Counters
	var merged Outcomes
	for _, o := range steps {
		one, merged = one.Apply(o), merged.Merge(o)
	}
	want := Counters{LastSuccessAt: at(2), LastFailureAt: at(4), FailureCount: 2, FailingSince: at(3)}
	if diff := cmp.Diff(want, one); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, Counters{FailureCount: 7, FailingSince: at(-9)}.Apply(merged)); diff != "" {
		t.Error("merged:", diff)
	}
}

func TestMessagesSurviveTheWire(t *testing.T) {
	ev := Event{
		ID: "evt_\"\\<1>", Account: "acct_1", Type: "generation.succeeded", Format: FormatSivi, SourceID: "src_1",
		VerifiedBy: VerifiedByToken, Test: true, CreatedAt: t0, RequestID: "req_1", Only: "whend_1", Confirm: ConfirmPrefer,
		Subject: "gen_1", TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Passes: 2,
		Payload: NewPayload([]byte("{\"a\":\"\uFFFE\uFFFF\\u0000\"}")),
	}
	at := Attempt{
		ID: AttemptID("acct_1", "evt_1", "whend_1", 2, 3, t0), Account: "acct_1", EventID: "evt_1",
		EventType: "a.b", EndpointID: "whend_1", Run: 2, Number: 3, Status: AttemptFailed, HTTPStatus: 500, RequestID: "req_1",
		Duration: 15 * time.Millisecond, Snippet: "\u2028ok", ErrorCode: CodeHTTPError, ErrorMessage: "m", DueAt: t0,
		CreatedAt: t0.Add(1e6), NextAttemptAt: t0.Add(6e10), MID: "m", EventCreatedAt: t0,
		URL: "https://example.com/hook", Signatures: "Rivya-Webhook-Signature: v1=00",
	}
	ref := ev.Ref()
	for _, m := range []Message{
		NewEventMessage(ev),
		NewAttemptMessage(ref, "whend_1", 2, 3, t0, t0.Add(GiveUpAfter)),
		{Kind: MessageRecord, MID: "m", Account: "acct_1", Attempt: &at, DueAt: t0},
		{Kind: MessageAttempt, MID: "m", Account: "acct_1", Ref: ref, EndpointID: "whend_1", Number: 1, DueAt: t0, NotBefore: t0.Add(1e9)},
		{Kind: MessageConfirm, MID: "m", Account: "acct_1", Ref: ref, Number: 1},
		{Kind: MessageExpect, MID: "m", Account: "acct_1", SourceID: "src_1", SiviRequest: "r", Number: 2},
		{Kind: MessageReplay, MID: "m", Account: "acct_1", ReplayID: "rpl_1", Step: 4},
	} {
		got, err := DecodeMessage(m.Encode())
		if err != nil {
			t.Errorf("%s: %v", m.Kind, err)
		}
		if diff := cmp.Diff(m, got, cmp.AllowUnexported(Payload{})); diff != "" {
			t.Errorf("%s: %s", m.Kind, diff)
		}
	}
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add(NewEventMessage(Event{ID: "e", Account: "a", CreatedAt: t0, Payload: NewPayload([]byte("{}"))}).Encode())
	f.Add([]byte(`{"v":1,"k":"attempt","mid":"m","acc":"a","eid":"e","ep":"w","n":1,"due":1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := DecodeMessage(body)
		if err != nil {
			return
		}
		if m.Event != nil {
			m.Event.Payload.Bytes() // must not panic
		}
		again, err := DecodeMessage(m.Encode())
		if err != nil || again.Kind != m.Kind || again.MID != m.MID {
			t.Errorf("%q: decoded, encoded, decoded: %+v, %v", body, again, err)
		}
	})
}

func TestPayloadComesBackByteForByte(t *testing.T) {
	for _, body := range [][]byte{nil, []byte("{}"), bytes.Repeat([]byte("ab\x00\xff"), MaxPayload/4)} {
		got, err := PayloadFromDeflated(NewPayload(body).Deflated()).Bytes()
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d bytes: got %d, %v", len(body), len(got), err)
		}
	}
	if _, err := NewPayload(make([]byte, MaxPayload+1)).Bytes(); err == nil {
		t.Error("a payload over the limit was inflated")
	}
	if _, err := PayloadFromDeflated([]byte("no flate")).Bytes(); err == nil {
		t.Error("damaged payload: no error")
	}
}
