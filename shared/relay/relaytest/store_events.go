package relaytest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"hookferry/shared/relay"
)

var eventPromises = []storePromise{
	{"an event round-trips, its payload byte for byte", (*storeTest).events},
	{"an event is put once, and the one that is there is returned", (*storeTest).putOnce},
	{"one of concurrent puts of an event wins", (*storeTest).putTogether},
	{"events of one id from two sources are two events", (*storeTest).sameIDOfTwoSources},
	{"event ids are told apart by every character", (*storeTest).oddEventIDs},
	{"the largest payload with a hundred endpoints fits", (*storeTest).largeEvent},
	{"an event is claimed only from the time that was read", (*storeTest).claims},
	{"an event is confirmed only under the claim", (*storeTest).confirmed},
	{"events of another account are not found", (*storeTest).foreignEvents},
}

func (s *storeTest) event(account string, i int) relay.EventRecord {
	at := s.clock.Now().Add(time.Duration(i) * time.Millisecond)
	return relay.EventRecord{
		Event: relay.Event{
			ID: relay.NewID(relay.EventPrefix, at), Account: account, Type: "generation.succeeded",
			Format: relay.FormatRivya, SourceID: "src_1", VerifiedBy: relay.VerifiedBySignature, CreatedAt: at,
			RequestID: relay.NewID(relay.RequestPrefix, at), Payload: relay.NewPayload(fmt.Appendf(nil, `{"n":%d}`, i)),
		},
		MID: relay.NewMID(), ClaimedUntil: at.Add(time.Minute),
	}
}

// put puts an event with these endpoints matched.
func (s *storeTest) put(i int, matched ...string) relay.EventRecord {
	s.Helper()
	r := s.event(s.a, i)
	r.Matched = matched
	s.putRecord(r)
	return r
}

func (s *storeTest) putRecord(r relay.EventRecord) {
	s.Helper()
	old, err := s.PutEvent(s.ctx, r)
	s.must(err)
	if old != nil {
		s.Fatalf("put event %s: exists", r.ID)
	}
}

func (s *storeTest) readEvent(what string, want relay.EventRecord) {
	s.Helper()
	got, err := s.Event(s.ctx, want.Account, want.Ref().ID, true)
	s.must(err)
	s.equal(what, got, want)
	eventually(s, what+", not consistent", want, func() relay.EventRecord {
		got, _ := s.Event(s.ctx, want.Account, want.Ref().ID, false)
		return got
	})
}

func (s *storeTest) events() {
	every := make([]byte, 3*256)
	for i := range every {
		every[i] = byte(i)
	}
	full := s.event(s.a, 0)
	full.ID = ` !"#$%&'()*+,-./09:;<=>?@AZ[\]^_az{|}~`
	full.Key = relay.EventKey("src_1", full.ID)
	full.Test, full.Only, full.Confirm, full.Format = true, "whend_1", relay.ConfirmPrefer, relay.FormatSivi
	full.Subject, full.TraceParent, full.Passes = odd, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", 3
	full.Payload = relay.NewPayload(every)
	full.RecordedAt = full.CreatedAt.Add(1234 * time.Millisecond)
	full.Answer = relay.Answer{At: full.CreatedAt.Add(time.Second), Outcome: relay.DeliveryRejected, Said: odd}
	full.Matched = []string{"whend_2", "whend_1", relay.Confirmation}
	full.Unmatched = []relay.Unmatched{{EndpointID: "whend_4", Reason: relay.MismatchSource}, {EndpointID: "whend_5", Reason: relay.MismatchFilter}, {EndpointID: "whend_3", Reason: relay.MismatchDisabled}}
	text := s.event(s.a, 1)
	text.Payload = relay.NewPayload([]byte(odd))
	plain := s.event(s.a, 2)
	plain.RecordedAt = plain.CreatedAt
	plain.SourceID, plain.RequestID, plain.Payload, plain.ClaimedUntil = "", "", relay.Payload{}, time.Time{}
	for _, r := range []relay.EventRecord{full, text, plain} {
		s.putRecord(r)
		s.readEvent("event", r)
	}
	for endpoint, token := range map[string]string{"whend_1": odd, "whend_2": "t"} {
		run, err := s.StartRun(s.ctx, s.a, full.Ref().ID, endpoint, token, s.clock.Now())
		s.must(err)
		covered(s, run)
		if full.Runs == nil {
			full.Runs = map[string]relay.Run{}
		}
		full.Runs[endpoint] = relay.Run{Number: 1, Token: token, StartedAt: s.clock.Now()}
	}
	covered(s, full)
	covered(s, full.Event)
	covered(s, full.Answer)
	s.readEvent("event with runs", full)
	for _, consistent := range []bool{true, false} {
		_, err := s.Event(s.ctx, s.a, "evt_none", consistent)
		s.fails("event that is not there", err, relay.ErrNotFound)
	}
}

func (s *storeTest) putOnce() {
	r := s.put(0, "whend_1")
	other := s.event(s.a, 5)
	other.ID = r.ID
	for _, again := range []relay.EventRecord{r, other} {
		old, err := s.PutEvent(s.ctx, again)
		s.must(err)
		if old == nil {
			s.Fatal("an event was put twice")
		}
		s.equal("existing event", *old, r)
	}
	_, err := s.StartRun(s.ctx, s.a, r.ID, "whend_1", "t", s.clock.Now())
	s.must(err)
	r.Runs = map[string]relay.Run{"whend_1": {Number: 1, Token: "t", StartedAt: s.clock.Now()}}
	until := r.ClaimedUntil.Add(time.Minute)
	s.must(s.ClaimEvent(s.ctx, r.Ref(), r.ClaimedUntil, until))
	r.ClaimedUntil = until
	old, err := s.PutEvent(s.ctx, other)
	s.must(err)
	if old == nil {
		s.Fatal("an event was put twice")
	}
	s.equal("existing event, with what happened since", *old, r)
}

func (s *storeTest) putTogether() {
	r := s.event(s.a, 0)
	var won atomic.Int32
	mids := make([]string, 8)
	together(8, func(i int) {
		mine := r
		mine.MID = relay.NewMID()
		old, err := s.PutEvent(s.ctx, mine)
		if err != nil {
			s.Errorf("put together with others: %v", err)
			return
		}
		if mids[i] = mine.MID; old == nil {
			won.Add(1)
		} else {
			mids[i] = old.MID
		}
	})
	if n := len(slices.Compact(slices.Sorted(slices.Values(mids)))); won.Load() != 1 || n != 1 {
		s.Errorf("%d of 8 put the event, and they were told of %d, want 1 and 1", won.Load(), n)
	}
}

func (s *storeTest) oddEventIDs() {
	var want []string
	for i, id := range []string{
		"a", "A", "a ", " a", "a#", "a#E", "a/b", "a%2Fb", "a'b", `a"b`, `a\b`, "a_b", "a%b", "0", "00", "1e1",
		"null", "~", fmt.Sprintf("%0128d", 7),
	} {
		r := s.event(s.a, i)
		r.ID = id
		s.putRecord(r)
		s.must(s.ListEvent(s.ctx, r.Event, nil))
		s.readEvent("event "+id, r)
		want = append(want, id)
	}
	slices.Reverse(want)
	eventually(s, "listed events", want, func() []string { return s.listed(relay.EventFilter{}, 7) })
}

func (s *storeTest) largeEvent() {
	body := make([]byte, relay.MaxPayload)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(body) // nothing to deflate; it cannot fail
	r := s.event(s.a, 0)
	r.Payload = relay.NewPayload(body)
	var ds []relay.Delivery
	for i := range 100 {
		id := relay.NewID(relay.EndpointPrefix, Start)
		r.Matched = append(r.Matched, id)
		r.Unmatched = append(r.Unmatched, relay.Unmatched{EndpointID: id, Reason: relay.MismatchDisabled})
		ds = append(ds, relay.Delivery{EndpointID: id, Attempts: 1, Status: relay.DeliveryRetrying, NextAttemptAt: Start.Add(time.Duration(i) * time.Second)})
	}
	s.putRecord(r)
	s.readEvent("event", r)
	s.must(s.ListEvent(s.ctx, r.Event, ds))
	s.deliveries("deliveries", r, true, ds...)
	r.Runs = map[string]relay.Run{}
	for i, id := range r.Matched {
		run := relay.Run{Number: 1, Token: fmt.Sprint("token ", i), StartedAt: Start}
		got, err := s.StartRun(s.ctx, s.a, r.ID, id, run.Token, Start)
		s.must(err)
		s.equal("run", got, run)
		r.Runs[id] = run
	}
	s.readEvent("event with a hundred runs", r)
}

func (s *storeTest) claims() {
	r := s.put(0)
	t1, t2 := r.ClaimedUntil.Add(time.Minute), r.ClaimedUntil.Add(2*time.Minute)
	s.fails("claim from another time", s.ClaimEvent(s.ctx, r.Ref(), t1, t2), relay.ErrConflict)
	s.must(s.ClaimEvent(s.ctx, r.Ref(), r.ClaimedUntil, t1))
	s.fails("claim from a time that has passed", s.ClaimEvent(s.ctx, r.Ref(), r.ClaimedUntil, t2), relay.ErrConflict)
	r.ClaimedUntil = t1
	s.readEvent("claimed event", r)

	var won atomic.Int32
	together(8, func(i int) {
		if err := s.ClaimEvent(s.ctx, r.Ref(), t1, t2.Add(time.Duration(i)*time.Second)); err == nil {
			won.Add(1)
		} else {
			s.fails("claim together with others", err, relay.ErrConflict)
		}
	})
	if won.Load() != 1 {
		s.Errorf("%d of 8 claims from one time succeeded", won.Load())
	}

	free := s.event(s.a, 1)
	free.ClaimedUntil = time.Time{}
	s.putRecord(free)
	s.fails("claim an unclaimed event from a time", s.ClaimEvent(s.ctx, free.Ref(), t1, t2), relay.ErrConflict)
	s.must(s.ClaimEvent(s.ctx, free.Ref(), time.Time{}, t1))
	free.ClaimedUntil = t1
	s.readEvent("event claimed for the first time", free)
	if err := s.ClaimEvent(s.ctx, s.event(s.a, 2).Ref(), time.Time{}, t1); err == nil {
		s.Error("an event that is not there was claimed")
	}
}

func (s *storeTest) foreignEvents() {
	r := s.put(0, "whend_1")
	s.must(s.ListEvent(s.ctx, r.Event, []relay.Delivery{{EndpointID: "whend_1", Attempts: 1, Status: relay.DeliveryFailed}}))
	for _, consistent := range []bool{true, false} {
		_, err := s.Event(s.ctx, s.b, r.ID, consistent)
		s.fails("event of another account", err, relay.ErrNotFound)
	}
	_, err := s.StartRun(s.ctx, s.b, r.ID, "whend_1", "t", s.clock.Now())
	s.fails("start a run of another account's event", err, relay.ErrNotFound)
	stolen := r.Ref()
	stolen.Account = s.b
	if err := s.ClaimEvent(s.ctx, stolen, r.ClaimedUntil, r.ClaimedUntil.Add(time.Hour)); err == nil {
		s.Error("another account's event was claimed")
	}
	for _, f := range []relay.EventFilter{{}, {Statuses: []relay.EventStatus{relay.EventFailed}}, {Types: []string{r.Type}}} {
		got := all(s, 10, func(p relay.Page) ([]relay.EventSummary, string, error) { return s.Events(s.ctx, s.b, f, p) })
		if len(got) > 0 {
			s.Errorf("another account lists %d events with %+v", len(got), f)
		}
	}
	theirs := s.event(s.b, 0) // the same ID is free in another account
	theirs.ID = r.ID
	s.putRecord(theirs)
	s.readEvent("event", r)
	s.readEvent("another account's event of the same id", theirs)
}

func (s *storeTest) sameIDOfTwoSources() {
	first, second, bare := s.event(s.a, 0), s.event(s.a, 1), s.event(s.a, 2)
	second.SourceID, bare.SourceID = "src_2", ""
	second.ID, bare.ID = first.ID, first.ID
	first.Key, second.Key = relay.EventKey("src_1", first.ID), relay.EventKey("src_2", first.ID)
	near := s.event(s.a, 3) // whose ID begins alike
	near.ID = first.ID + "@src"
	near.Key = relay.EventKey("src_1", near.ID)
	// An ID that its provider chose to be another event's key.
	hostile := s.event(s.a, 4)
	hostile.ID = second.Key
	hostile.Key = relay.EventKey("src_1", hostile.ID)
	for _, r := range []relay.EventRecord{first, second, bare, near, hostile} {
		s.putRecord(r)
		s.list(r)
	}
	for _, r := range []relay.EventRecord{first, second, bare, near, hostile} {
		s.readEvent("event of an id that is used again", r)
	}
	got, err := s.EventsByID(s.ctx, s.a, first.ID)
	s.must(err)
	s.equal("events by id, newest first", got, []relay.EventRecord{bare, second, first})
	got, err = s.EventsByID(s.ctx, s.a, hostile.ID)
	s.must(err)
	s.equal("events by an id that is another's key", got, []relay.EventRecord{hostile})
	got, err = s.EventsByID(s.ctx, s.a, first.Key)
	s.must(err)
	s.equal("events by a key, which is no id", len(got), 0)
	got, err = s.EventsByID(s.ctx, s.b, first.ID)
	s.must(err)
	s.equal("events by id of another account", len(got), 0)

	run, err := s.StartRun(s.ctx, s.a, second.Ref().ID, "whend_1", "t", s.clock.Now())
	s.must(err)
	s.equal("run of one of them", run.Number, 1)
	first.Runs = nil
	s.readEvent("event of which another was run again", first)
	old, err := s.PutEvent(s.ctx, second)
	s.must(err)
	if old == nil || old.SourceID != "src_2" {
		s.Errorf("put again: %+v, want the event of src_2", old)
	}
}

func (s *storeTest) confirmed() {
	r := s.event(s.a, 0)
	r.VerifiedBy = relay.VerifiedByToken
	s.putRecord(r)
	answer := relay.NewPayload([]byte(`{"answer":1}`))
	said := relay.Answer{At: s.clock.Now(), Outcome: relay.DeliverySucceeded, Said: odd}
	s.fails("confirm under another claim", s.ConfirmEvent(s.ctx, r.Ref(), r.ClaimedUntil.Add(time.Second), said, answer), relay.ErrConflict)
	s.readEvent("event that was not confirmed", r)
	for _, outcome := range []relay.DeliveryStatus{relay.DeliveryRejected, relay.DeliverySkipped} {
		r.Answer = relay.Answer{At: s.clock.Now(), Outcome: outcome, Said: "0 1"}
		s.must(s.ConfirmEvent(s.ctx, r.Ref(), r.ClaimedUntil, r.Answer, answer))
		s.readEvent("event that keeps its body", r)
	}
	for range 2 {
		s.must(s.ConfirmEvent(s.ctx, r.Ref(), r.ClaimedUntil, said, answer))
	}
	r.Payload, r.VerifiedBy, r.Answer = answer, relay.VerifiedByTokenFetch, said
	s.readEvent("confirmed event", r)
	s.fails("confirm an event that is not there", s.ConfirmEvent(s.ctx, s.event(s.a, 1).Ref(), r.ClaimedUntil, said, answer), relay.ErrConflict)
}
