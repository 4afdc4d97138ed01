package relaytest

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"hookferry/shared/relay"
)

var attemptPromises = []storePromise{
	{"an attempt round-trips", (*storeTest).attempts},
	{"the first record of an attempt stays", (*storeTest).attemptOnce},
	{"attempts are listed newest first through all pages", (*storeTest).attemptPages},
	{"attempts are found by status, finality, event and time together", (*storeTest).attemptFilters},
	{"attempts are found behind more than a page's worth of others", (*storeTest).attemptsInTheWay},
	{"attempts of another account or endpoint are not found", (*storeTest).foreignAttempts},
}

// attempt returns a failed attempt that is followed by another.
func (s *storeTest) attempt(endpoint, event string, i int) relay.Attempt {
	due := Start.Add(time.Duration(i) * time.Millisecond)
	return relay.Attempt{
		ID: relay.AttemptID(s.a, event, endpoint, 0, 1, due), Account: s.a, EventID: event, EventType: "generation.succeeded",
		EndpointID: endpoint, Number: 1, Status: relay.AttemptFailed, HTTPStatus: 503, RequestID: "req_1", Duration: 1234 * time.Millisecond,
		Snippet: "no", ErrorCode: relay.CodeHTTPError, ErrorMessage: "The endpoint answered 503.", DueAt: due,
		CreatedAt: due.Add(5 * time.Millisecond), NextAttemptAt: due.Add(time.Minute), MID: relay.NewMID(), EventCreatedAt: Start.Add(-time.Second),
	}
}

func (s *storeTest) record(a relay.Attempt) {
	s.Helper()
	old, err := s.RecordAttempt(s.ctx, a)
	s.must(err)
	if old != nil {
		s.Fatalf("record attempt %s: exists", a.ID)
	}
}

func (s *storeTest) attempts() {
	endpoint := s.endpoint(s.a, 0).ID
	failed := s.attempt(endpoint, `evt #"'/~`, 0)
	failed.Snippet = odd + strings.Repeat("é", (relay.MaxSnippet-len(odd))/2)
	failed.ErrorMessage = odd
	failed.URL, failed.Signatures = "https://example.com/"+odd, "Rivya-Webhook-Signature: v1=00\nwebhook-signature: v1,AA=="
	succeeded := s.attempt(endpoint, "evt_2", 1)
	succeeded.Status, succeeded.Final, succeeded.HTTPStatus, succeeded.NextAttemptAt = relay.AttemptSucceeded, true, 204, time.Time{}
	succeeded.ErrorCode, succeeded.ErrorMessage, succeeded.Snippet, succeeded.Run, succeeded.Number = "", "", "", 3, 5
	skipped := s.attempt(endpoint, "evt_3", 2)
	skipped.Status, skipped.Final, skipped.HTTPStatus, skipped.NextAttemptAt = relay.AttemptSkipped, true, 0, time.Time{}
	skipped.ErrorCode, skipped.Duration, skipped.Snippet, skipped.EventType = relay.CodeEndpointDisabled, 0, "", "webhook.test"
	want := []relay.Attempt{skipped, succeeded, failed}
	covered(s, want...)
	for _, a := range want {
		s.record(a)
		got, err := s.Attempt(s.ctx, s.a, endpoint, a.ID)
		s.must(err)
		s.equal("attempt", got, a)
	}
	eventually(s, "listed attempts", want, func() []relay.Attempt { return s.tried(endpoint, relay.AttemptFilter{}, 10) })
	eventually(s, "listed bad attempts", []relay.Attempt{skipped, failed}, func() []relay.Attempt {
		return s.tried(endpoint, relay.AttemptFilter{Bad: true}, 10)
	})
	_, err := s.Attempt(s.ctx, s.a, endpoint, s.attempt(endpoint, "evt_none", 3).ID)
	s.fails("attempt that is not there", err, relay.ErrNotFound)
}

func (s *storeTest) tried(endpoint string, f relay.AttemptFilter, limit int) []relay.Attempt {
	s.Helper()
	return all(s, limit, func(p relay.Page) ([]relay.Attempt, string, error) { return s.Attempts(s.ctx, endpoint, f, p) })
}

func (s *storeTest) triedIDs(endpoint string, f relay.AttemptFilter, limit int) []string {
	s.Helper()
	return ids(s.tried(endpoint, f, limit), func(a relay.Attempt) string { return a.ID })
}

func (s *storeTest) attemptOnce() {
	endpoint := s.endpoint(s.a, 0).ID
	first := s.attempt(endpoint, "evt_1", 0)
	s.record(first)
	other := first
	other.MID, other.Status, other.Final, other.NextAttemptAt = relay.NewMID(), relay.AttemptSucceeded, true, time.Time{}
	for _, again := range []relay.Attempt{first, other} {
		old, err := s.RecordAttempt(s.ctx, again)
		s.must(err)
		s.equal("existing attempt", old, &first)
	}
	got, err := s.Attempt(s.ctx, s.a, endpoint, first.ID)
	s.must(err)
	s.equal("attempt after another was recorded", got, first)
	for _, f := range []relay.AttemptFilter{{}, {Bad: true}, {Status: relay.AttemptFailed}} {
		eventually(s, "listed attempts", []relay.Attempt{first}, func() []relay.Attempt { return s.tried(endpoint, f, 10) })
	}
	if got := s.tried(endpoint, relay.AttemptFilter{Status: relay.AttemptSucceeded}, 10); len(got) > 0 {
		s.Errorf("a second record is listed: %v", got)
	}

	together1 := s.attempt(endpoint, "evt_2", 1)
	var won atomic.Int32
	mids := make([]string, 8)
	together(8, func(i int) {
		mine := together1
		mine.MID = relay.NewMID()
		if i%2 == 0 {
			mine.Status, mine.Final, mine.NextAttemptAt = relay.AttemptSucceeded, true, time.Time{}
		}
		old, err := s.RecordAttempt(s.ctx, mine)
		if err != nil {
			s.Errorf("record together with others: %v", err)
			return
		}
		if mids[i] = mine.MID; old == nil {
			won.Add(1)
		} else {
			mids[i] = old.MID
		}
	})
	if n := len(slices.Compact(slices.Sorted(slices.Values(mids)))); won.Load() != 1 || n != 1 {
		s.Errorf("%d of 8 recorded the attempt, and they were told of %d, want 1 and 1", won.Load(), n)
	}
}

func (s *storeTest) attemptPages() {
	endpoint, other := s.endpoint(s.a, 0).ID, s.endpoint(s.a, 1).ID
	var want []string
	for i := range 40 {
		a := s.attempt(endpoint, fmt.Sprint("evt_", i), i)
		a.CreatedAt = Start.Add(time.Duration(100-i) * time.Millisecond) // listed by when they were due
		s.record(a)
		want = append(want, a.ID)
	}
	slices.Reverse(want)
	s.record(s.attempt(other, "evt_1", 0))
	for _, limit := range []int{1, 7, 40, 100} {
		for _, f := range []relay.AttemptFilter{{}, {Bad: true}} {
			eventually(s, fmt.Sprintf("pages of %d with %+v", limit, f), want, func() []string { return s.triedIDs(endpoint, f, limit) })
		}
	}
	for _, f := range []relay.AttemptFilter{{}, {Bad: true}} {
		badCursor(s, "attempts", func(p relay.Page) ([]relay.Attempt, string, error) { return s.Attempts(s.ctx, endpoint, f, p) })
	}
	for i := range 10 { // of one time
		a := s.attempt(endpoint, fmt.Sprint("evt_same_", i), 50)
		s.record(a)
		want = append(want, a.ID)
	}
	slices.Sort(want)
	for _, limit := range []int{1, 3, 100} {
		eventually(s, "attempts of one time", want, func() []string {
			return slices.Sorted(slices.Values(s.triedIDs(endpoint, relay.AttemptFilter{}, limit)))
		})
	}
}

func (s *storeTest) attemptFilters() {
	endpoint := s.endpoint(s.a, 0).ID
	var attempts []relay.Attempt
	for i := range 60 {
		a := s.attempt(endpoint, fmt.Sprint("evt_", i%4), i)
		switch i % 5 {
		case 0, 1:
			a.Status, a.Final, a.NextAttemptAt = relay.AttemptSucceeded, true, time.Time{}
		case 2:
			a.Final, a.NextAttemptAt = true, time.Time{}
		case 3:
			a.Status, a.Final, a.NextAttemptAt = relay.AttemptSkipped, true, time.Time{}
		}
		s.record(a)
		attempts = append(attempts, a)
	}
	slices.Reverse(attempts)
	at := func(ms int) time.Time { return Start.Add(time.Duration(ms) * time.Millisecond) }
	for _, f := range []relay.AttemptFilter{
		{Status: relay.AttemptSucceeded},
		{Status: relay.AttemptFailed},
		{Status: relay.AttemptSkipped},
		{Bad: true},
		{Final: new(true)},
		{Final: new(false)},
		{EventID: "evt_1"},
		{EventID: "evt_none"},
		{Types: []string{"generation.*"}},
		{Types: []string{"generation.failed", "generation.succeeded"}},
		{Types: []string{"order.*"}, Bad: true},
		{Since: at(30)},
		{Until: at(30)},
		{Since: at(20), Until: at(40)},
		{Since: at(30), Until: at(30)},
		{Since: at(100)},
		{Until: at(0)},
		{Status: relay.AttemptFailed, Final: new(true)},
		{Status: relay.AttemptFailed, EventID: "evt_2"},
		{Bad: true, Since: at(10)},
		{Bad: true, Until: at(50), EventID: "evt_3"},
		{Bad: true, Final: new(false)},
		{Bad: true, Status: relay.AttemptSkipped},
		{Status: relay.AttemptSucceeded, Since: at(5), Until: at(50), EventID: "evt_0", Final: new(true)},
	} {
		var want []string
		for _, a := range attempts {
			if (f.Status == "" || a.Status == f.Status) && (!f.Bad || a.Status != relay.AttemptSucceeded) &&
				(f.Final == nil || a.Final == *f.Final) && (f.EventID == "" || a.EventID == f.EventID) &&
				(len(f.Types) == 0 || f.Types[0] != "order.*") && (f.Since.IsZero() || !a.DueAt.Before(f.Since)) && (f.Until.IsZero() || a.DueAt.Before(f.Until)) {
				want = append(want, a.ID)
			}
		}
		for _, limit := range []int{2, 100} {
			eventually(s, fmt.Sprintf("%+v", f), want, func() []string { return s.triedIDs(endpoint, f, limit) })
		}
	}
}

func (s *storeTest) attemptsInTheWay() {
	endpoint := s.endpoint(s.a, 0).ID
	var want []string
	for i := range 3 {
		a := s.attempt(endpoint, "evt_rare", i)
		a.Final, a.NextAttemptAt = true, time.Time{}
		s.record(a)
		want = append(want, a.ID)
	}
	slices.Reverse(want)
	many(inTheWay, func(i int) {
		a := s.attempt(endpoint, "evt_common", 10+i)
		if i%2 == 0 {
			a.Status = relay.AttemptSkipped
		}
		if old, err := s.RecordAttempt(s.ctx, a); err != nil || old != nil {
			s.Errorf("record attempt: %v, %v", old, err)
		}
	})
	for _, f := range []relay.AttemptFilter{
		{EventID: "evt_rare"},
		{Final: new(true)},
		{Bad: true, Final: new(true)},
		{Bad: true, EventID: "evt_rare"},
		{Status: relay.AttemptFailed, EventID: "evt_rare"},
		{Until: Start.Add(10 * time.Millisecond)},
	} {
		eventually(s, fmt.Sprintf("%+v", f), want, func() []string { return s.triedIDs(endpoint, f, 2) })
	}
	eventually(s, "succeeded", 0, func() int { return len(s.triedIDs(endpoint, relay.AttemptFilter{Status: relay.AttemptSucceeded}, 100)) })
	eventually(s, "all", inTheWay+3, func() int {
		return len(slices.Compact(slices.Sorted(slices.Values(s.triedIDs(endpoint, relay.AttemptFilter{}, 100)))))
	})
}

func (s *storeTest) foreignAttempts() {
	endpoint, other := s.endpoint(s.a, 0).ID, s.endpoint(s.a, 1).ID
	a := s.attempt(endpoint, "evt_1", 0)
	s.record(a)
	_, err := s.Attempt(s.ctx, s.b, endpoint, a.ID)
	s.fails("attempt of another account", err, relay.ErrNotFound)
	_, err = s.Attempt(s.ctx, s.a, other, a.ID)
	s.fails("attempt of another endpoint", err, relay.ErrNotFound)
	if got := s.tried(other, relay.AttemptFilter{}, 10); len(got) > 0 {
		s.Errorf("another endpoint lists %d attempts", len(got))
	}
}
