package relaytest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"

	"hookferry/shared/relay"
)

var deliveryPromises = []storePromise{
	{"an event is not listed before it is told to be", (*storeTest).unlisted},
	{"an event whose deliveries succeeded at once keeps none and shows all", (*storeTest).clean},
	{"an event without deliveries is unmatched", (*storeTest).unmatched},
	{"an event with an unfinished delivery shows all", (*storeTest).unclean},
	{"listing again never sets a delivery back", (*storeTest).listAgain},
	{"listing does not set back what was saved before", (*storeTest).savedBefore},
	{"listing together does not set a delivery back", (*storeTest).listTogether},
	{"a delivery is saved unless it has come further", (*storeTest).saves},
	{"saving a delivery of a clean event keeps the others", (*storeTest).saveClean},
	{"concurrent saves of deliveries lose none", (*storeTest).savesTogether},
	{"the status of an event follows its deliveries", (*storeTest).statuses},
	{"what is overdue is found until it is done", (*storeTest).overdue},
}

func succeeded(endpoint string) relay.Delivery {
	return relay.Delivery{EndpointID: endpoint, Attempts: 1, Status: relay.DeliverySucceeded}
}

func pending(endpoint string, due time.Time) relay.Delivery {
	return relay.Delivery{EndpointID: endpoint, Status: relay.DeliveryPending, NextAttemptAt: due}
}

func retrying(endpoint string, attempts int, next time.Time) relay.Delivery {
	return relay.Delivery{EndpointID: endpoint, Attempts: attempts, Status: relay.DeliveryRetrying, NextAttemptAt: next}
}

func ended(endpoint string, attempts int, status relay.DeliveryStatus) relay.Delivery {
	return relay.Delivery{EndpointID: endpoint, Attempts: attempts, Status: status}
}

var byDelivery = cmpopts.SortSlices(func(a, b relay.Delivery) bool { return a.EndpointID < b.EndpointID })

// deliveries holds Deliveries, which is consistent, to what it must return.
func (s *storeTest) deliveries(what string, r relay.EventRecord, listed bool, want ...relay.Delivery) {
	s.Helper()
	got, isListed, err := s.Deliveries(s.ctx, r)
	s.must(err)
	s.equal(what, got, want, byDelivery)
	if isListed != listed {
		s.Errorf("%s: listed is %v, want %v", what, isListed, listed)
	}
}

// list puts an event on the list with its deliveries.
func (s *storeTest) list(r relay.EventRecord, ds ...relay.Delivery) {
	s.Helper()
	s.must(s.ListEvent(s.ctx, r.Event, ds))
}

func (s *storeTest) save(r relay.EventRecord, d relay.Delivery) {
	s.Helper()
	s.must(s.SaveDelivery(s.ctx, r.Ref(), d))
}

// shows holds the event's row of the list to a status, in the whole list and in
// the lists of every status.
func (s *storeTest) shows(what string, r relay.EventRecord, status relay.EventStatus) {
	s.Helper()
	type row struct {
		Event  relay.Event
		Status relay.EventStatus
	}
	filters := []relay.EventStatus{
		"", relay.EventPending, relay.EventDelivered, relay.EventFailed, relay.EventSkipped,
		relay.EventUnmatched, relay.EventRejected,
	}
	want := map[relay.EventStatus][]row{}
	for _, f := range filters {
		if status != "" && (f == "" || f == status) {
			want[f] = []row{{shown(r.Event), status}}
		}
	}
	eventually(s, what+": lists by status", want, func() map[relay.EventStatus][]row {
		got := map[relay.EventStatus][]row{}
		for _, f := range filters {
			by := relay.EventFilter{Statuses: []relay.EventStatus{f}}
			if f == "" {
				by = relay.EventFilter{}
			}
			for _, e := range all(s, 10, func(p relay.Page) ([]relay.EventSummary, string, error) {
				return s.Events(s.ctx, s.a, by, p)
			}) {
				if e.ID == r.ID {
					got[f] = append(got[f], row{shown(e.Event), e.Status})
				}
			}
		}
		return got
	})
}

// shown is what a list must have of an event: what the contract shows of it.
func shown(ev relay.Event) relay.Event {
	return relay.Event{
		ID: ev.ID, Account: ev.Account, Type: ev.Type, SourceID: ev.SourceID,
		VerifiedBy: ev.VerifiedBy, Test: ev.Test, CreatedAt: ev.CreatedAt,
	}
}

func (s *storeTest) unlisted() {
	r := s.put(0, "whend_1", "whend_2")
	s.deliveries("of an event just put", r, false)
	s.shows("an event just put", r, "")
	d := retrying("whend_1", 1, Start.Add(time.Hour))
	s.save(r, d)
	s.deliveries("of an event that is not listed", r, false, d)
	s.shows("an event with a delivery saved", r, "")
}

func (s *storeTest) clean() {
	r := s.event(s.a, 0)
	r.Test, r.Matched = true, []string{"whend_2", "whend_1"}
	s.putRecord(r)
	for range 3 {
		s.list(r, succeeded("whend_1"), succeeded("whend_2"))
		s.deliveries("of a clean event", r, true, succeeded("whend_1"), succeeded("whend_2"))
	}
	s.shows("a clean event", r, relay.EventDelivered)
}

func (s *storeTest) unmatched() {
	r := s.put(0)
	for range 3 {
		s.list(r)
		s.deliveries("of an unmatched event", r, true)
	}
	s.shows("an unmatched event", r, relay.EventUnmatched)
}

func (s *storeTest) unclean() {
	r := s.put(0, "whend_1", "whend_2", "whend_3")
	full := retrying("whend_2", 1, Start.Add(time.Minute))
	full.Run, full.NotBefore = 1, Start.Add(2*time.Minute)
	covered(s, full)
	ds := []relay.Delivery{succeeded("whend_1"), full, ended("whend_3", 1, relay.DeliverySkipped)}
	for range 3 {
		s.list(r, ds...)
		s.deliveries("of an unclean event", r, true, ds...)
	}
	s.shows("an unclean event", r, relay.EventPending)
}

func (s *storeTest) listAgain() {
	late := Start.Add(time.Hour)
	r := s.put(0, "whend_1", "whend_2")
	s.list(r, pending("whend_1", Start), retrying("whend_2", 1, late))
	s.save(r, ended("whend_2", 5, relay.DeliveryFailed))
	s.list(r, succeeded("whend_1"), pending("whend_2", Start))
	s.deliveries("listed again with one further", r, true, succeeded("whend_1"), ended("whend_2", 5, relay.DeliveryFailed))
	s.list(r, pending("whend_1", Start), pending("whend_2", Start))
	s.deliveries("listed again with none further", r, true, succeeded("whend_1"), ended("whend_2", 5, relay.DeliveryFailed))
	s.shows("listed again", r, relay.EventFailed)

	clean := s.put(1, "whend_1", "whend_2")
	s.list(clean, succeeded("whend_1"), succeeded("whend_2"))
	s.list(clean, succeeded("whend_1"), pending("whend_2", Start))
	s.deliveries("clean, then listed by one who was late", clean, true, succeeded("whend_1"), succeeded("whend_2"))
	s.shows("clean, then listed by one who was late", clean, relay.EventDelivered)

	healed := s.put(2, "whend_1", "whend_2")
	s.list(healed, succeeded("whend_1"), pending("whend_2", Start))
	s.list(healed, succeeded("whend_1"), succeeded("whend_2"))
	s.deliveries("unclean, then listed clean", healed, true, succeeded("whend_1"), succeeded("whend_2"))
	s.shows("unclean, then listed clean", healed, relay.EventDelivered)
}

func (s *storeTest) savedBefore() {
	r := s.put(0, "whend_1", "whend_2")
	s.save(r, succeeded("whend_2"))
	s.list(r, succeeded("whend_1"), pending("whend_2", Start))
	s.deliveries("saved before, further", r, true, succeeded("whend_1"), succeeded("whend_2"))
	s.shows("saved before, further", r, relay.EventDelivered)

	r = s.put(1, "whend_1", "whend_2")
	s.save(r, retrying("whend_2", 1, Start.Add(time.Minute)))
	s.list(r, succeeded("whend_1"), succeeded("whend_2"))
	s.deliveries("saved before, listed clean", r, true, succeeded("whend_1"), succeeded("whend_2"))
	s.shows("saved before, listed clean", r, relay.EventDelivered)

	r = s.put(2, "whend_1")
	_, err := s.StartRun(s.ctx, s.a, r.ID, "whend_1", "t", Start)
	s.must(err)
	s.list(r, ended("whend_1", 1, relay.DeliveryFailed))
	run := pending("whend_1", Start)
	run.Run = 1
	s.deliveries("run started before", r, true, run)
	s.shows("run started before", r, relay.EventPending)

	r = s.put(3, "whend_1", "whend_2")
	_, err = s.StartRun(s.ctx, s.a, r.ID, "whend_1", "t", Start)
	s.must(err)
	s.list(r, succeeded("whend_1"), succeeded("whend_2"))
	s.deliveries("run started before, listed clean", r, true, run, succeeded("whend_2"))
	s.shows("run started before, listed clean", r, relay.EventPending)
}

// listTogether: two invocations list an event at once, one that has come
// further than the other, and an attempt of a third is saved.
func (s *storeTest) listTogether() {
	for i := range 10 {
		r := s.put(i, "whend_1", "whend_2", "whend_3")
		together(6, func(w int) {
			var err error
			switch w % 3 {
			case 0:
				err = s.ListEvent(s.ctx, r.Event, []relay.Delivery{succeeded("whend_1"), pending("whend_2", Start), pending("whend_3", Start)})
			case 1:
				err = s.ListEvent(s.ctx, r.Event, []relay.Delivery{succeeded("whend_1"), succeeded("whend_2"), pending("whend_3", Start)})
			case 2:
				err = s.SaveDelivery(s.ctx, r.Ref(), retrying("whend_3", 1, Start.Add(time.Minute)))
			}
			if err != nil {
				s.Errorf("list or save together with others: %v", err)
			}
		})
		s.deliveries("listed together", r, true, succeeded("whend_1"), succeeded("whend_2"), retrying("whend_3", 1, Start.Add(time.Minute)))
	}
}

func (s *storeTest) saves() {
	r := s.put(0, "whend_1")
	s.list(r, retrying("whend_1", 1, Start))
	second := func(d relay.Delivery) relay.Delivery {
		d.Run = 1
		return d
	}
	for i, step := range []struct{ save, want relay.Delivery }{
		{retrying("whend_1", 3, Start.Add(time.Second)), retrying("whend_1", 3, Start.Add(time.Second))},
		{retrying("whend_1", 2, Start), retrying("whend_1", 3, Start.Add(time.Second))},
		{pending("whend_1", Start), retrying("whend_1", 3, Start.Add(time.Second))},
		{retrying("whend_1", 3, Start.Add(time.Hour)), retrying("whend_1", 3, Start.Add(time.Hour))}, // the same step
		{ended("whend_1", 5, relay.DeliveryFailed), ended("whend_1", 5, relay.DeliveryFailed)},
		{second(pending("whend_1", Start)), second(pending("whend_1", Start))},
		{ended("whend_1", 5, relay.DeliverySucceeded), second(pending("whend_1", Start))},
		{second(ended("whend_1", 1, relay.DeliverySucceeded)), second(ended("whend_1", 1, relay.DeliverySucceeded))},
	} {
		s.save(r, step.save)
		s.deliveries(fmt.Sprintf("after save %d", i), r, true, step.want)
	}
}

func (s *storeTest) saveClean() {
	r := s.put(0, "whend_1", "whend_2")
	s.list(r, succeeded("whend_1"), succeeded("whend_2"))
	s.save(r, succeeded("whend_1"))
	s.deliveries("the same saved", r, true, succeeded("whend_1"), succeeded("whend_2"))
	s.save(r, pending("whend_2", Start))
	s.deliveries("an earlier step saved", r, true, succeeded("whend_1"), succeeded("whend_2"))
	s.shows("after saves", r, relay.EventDelivered)
	if late := s.late(Start.Add(time.Hour)); len(late) > 0 {
		s.Errorf("overdue are %v of an event that is delivered", late)
	}
}

func (s *storeTest) savesTogether() {
	for i, listed := range []bool{false, true} {
		var matched []string
		var first, want []relay.Delivery
		for e := range 16 {
			id := fmt.Sprintf("whend_%02d", e)
			matched = append(matched, id)
			first = append(first, pending(id, Start))
			want = append(want, retrying(id, 4, Start.Add(4*time.Minute)))
		}
		r := s.put(i, matched...)
		if listed {
			s.list(r, first...)
		}
		together(16, func(e int) {
			for _, n := range []int{2, 4, 1, 3} {
				// Each endpoint by several at once, in another order.
				n := (n+e)%4 + 1
				err := s.SaveDelivery(s.ctx, r.Ref(), retrying(matched[e], n, Start.Add(time.Duration(n)*time.Minute)))
				err = errors.Join(err, s.SaveDelivery(s.ctx, r.Ref(), retrying(matched[(e+n)%16], n, Start.Add(time.Duration(n)*time.Minute))))
				if err != nil {
					s.Errorf("save together with others: %v", err)
				}
			}
		})
		s.deliveries("saved together", r, listed, want...)
	}
}

func (s *storeTest) statuses() {
	later := Start.Add(time.Hour)
	for i, c := range []struct {
		first  []relay.Delivery
		then   *relay.Delivery
		status relay.EventStatus
	}{
		{[]relay.Delivery{succeeded("whend_1"), ended("whend_2", 1, relay.DeliverySkipped)}, nil, relay.EventDelivered},
		{[]relay.Delivery{ended("whend_1", 1, relay.DeliverySkipped), ended("whend_2", 1, relay.DeliverySkipped)}, nil, relay.EventSkipped},
		{[]relay.Delivery{ended("whend_1", 1, relay.DeliveryFailed), pending("whend_2", later)}, nil, relay.EventFailed},
		{[]relay.Delivery{succeeded("whend_1"), pending("whend_2", later)}, nil, relay.EventPending},
		{[]relay.Delivery{succeeded("whend_1"), retrying("whend_2", 1, later)}, new(ended("whend_2", 2, relay.DeliverySucceeded)), relay.EventDelivered},
		{[]relay.Delivery{succeeded("whend_1"), retrying("whend_2", 1, later)}, new(ended("whend_2", 5, relay.DeliveryFailed)), relay.EventFailed},
		{[]relay.Delivery{succeeded("whend_1"), retrying("whend_2", 1, later)}, new(retrying("whend_2", 2, later)), relay.EventPending},
		{[]relay.Delivery{retrying("whend_1", 1, later)}, new(ended("whend_1", 2, relay.DeliverySkipped)), relay.EventSkipped},
		{[]relay.Delivery{pending(relay.Confirmation, later), pending("whend_1", later)}, new(ended(relay.Confirmation, 1, relay.DeliveryRejected)), relay.EventRejected},
		{[]relay.Delivery{pending(relay.Confirmation, later)}, new(ended(relay.Confirmation, 1, relay.DeliverySucceeded)), relay.EventUnmatched},
		{[]relay.Delivery{pending(relay.Confirmation, later), pending("whend_1", later)}, new(retrying(relay.Confirmation, 1, later)), relay.EventPending},
	} {
		var matched []string
		for _, d := range c.first {
			if d.EndpointID != relay.Confirmation {
				matched = append(matched, d.EndpointID)
			}
		}
		r := s.put(i, matched...)
		s.list(r, c.first...)
		if c.then != nil {
			s.save(r, *c.then)
		}
		s.shows(fmt.Sprintf("case %d", i), r, c.status)
	}
}

// late returns the endpoints and times of what is overdue of the accounts of
// this test.
func (s *storeTest) late(t time.Time) []string {
	s.Helper()
	var out []string
	for _, o := range all(s, 2, func(p relay.Page) ([]relay.Overdue, string, error) { return s.Overdue(s.ctx, t, p) }) {
		if o.Event.Account == s.a || o.Event.Account == s.b {
			d := o.Delivery
			out = append(out, fmt.Sprintf("%s %s %s %s run %d attempts %d %s %s", o.Event.Account, o.Event.ID, relay.FormatTime(o.Event.CreatedAt),
				d.EndpointID, d.Run, d.Attempts, d.Status, relay.FormatTime(d.NextAttemptAt)))
		}
	}
	slices.Sort(out)
	return out
}

func (s *storeTest) overdue() {
	at := func(sec int) time.Time { return Start.Add(time.Duration(sec) * time.Second) }
	line := func(r relay.EventRecord, d relay.Delivery) string {
		return fmt.Sprintf("%s %s %s %s run %d attempts %d %s %s", r.Account, r.ID, relay.FormatTime(r.CreatedAt),
			d.EndpointID, d.Run, d.Attempts, d.Status, relay.FormatTime(d.NextAttemptAt))
	}
	check := func(what string, t time.Time, want ...string) {
		s.Helper()
		slices.Sort(want)
		eventually(s, what, want, func() []string { return s.late(t) })
	}
	listed := s.put(0, "whend_1", "whend_2", "whend_3", "whend_4")
	s.list(listed, retrying("whend_1", 1, at(100)), pending("whend_2", at(200)), ended("whend_3", 5, relay.DeliveryFailed),
		pending("whend_4", time.Time{})) // waits for something else, so is never late
	unlisted := s.put(1, "whend_1")
	s.save(unlisted, retrying("whend_1", 2, at(150)))
	clean := s.put(2, "whend_1", "whend_2")
	s.list(clean, succeeded("whend_1"), succeeded("whend_2"))
	theirs := s.event(s.b, 3)
	s.putRecord(theirs)
	s.list(theirs, pending(relay.Confirmation, at(120)))
	confirm := line(theirs, pending(relay.Confirmation, at(120)))

	check("before the first", at(100))
	check("a millisecond after the first", at(100).Add(time.Millisecond), line(listed, retrying("whend_1", 1, at(100))))
	check("after all", at(300), line(listed, retrying("whend_1", 1, at(100))), line(listed, pending("whend_2", at(200))),
		line(unlisted, retrying("whend_1", 2, at(150))), confirm)

	_, err := s.StartRun(s.ctx, s.a, clean.ID, "whend_2", "t", at(110))
	s.must(err)
	run := pending("whend_2", at(110))
	run.Run = 1
	s.save(listed, ended("whend_1", 2, relay.DeliverySucceeded))
	s.save(unlisted, retrying("whend_1", 3, at(1000)))
	check("after some were done", at(300), line(listed, pending("whend_2", at(200))), line(clean, run), confirm)

	run.Attempts, run.Status, run.NextAttemptAt = 1, relay.DeliverySucceeded, time.Time{}
	s.save(clean, run)
	s.save(listed, ended("whend_2", 1, relay.DeliverySkipped))
	s.save(theirs, ended(relay.Confirmation, 1, relay.DeliveryRejected))
	check("after all were done", at(300))
	check("much later", at(2000), line(unlisted, retrying("whend_1", 3, at(1000))))
	badCursor(s, "overdue", func(p relay.Page) ([]relay.Overdue, string, error) { return s.Overdue(s.ctx, at(300), p) })
}
