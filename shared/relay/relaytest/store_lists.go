package relaytest

import (
	"fmt"
	"slices"
	"time"

	"hookferry/shared/relay"
)

var listPromises = []storePromise{
	{"events are listed newest first through all pages", (*storeTest).eventPages},
	{"a list goes on where it was while newer events come", (*storeTest).eventsMeanwhile},
	{"events are found by type, source, time and status together", (*storeTest).eventFilters},
	{"events are found behind more than a page's worth of others", (*storeTest).eventsInTheWay},
}

func (s *storeTest) listed(f relay.EventFilter, limit int) []string {
	s.Helper()
	return ids(all(s, limit, func(p relay.Page) ([]relay.EventSummary, string, error) { return s.Events(s.ctx, s.a, f, p) }),
		func(e relay.EventSummary) string { return e.ID })
}

func (s *storeTest) eventPages() {
	var want []string
	for i := range 40 {
		r := s.put(i, "whend_1")
		switch i % 3 {
		case 0:
			s.list(r, succeeded("whend_1"))
		case 1:
			s.list(r, retrying("whend_1", 1, Start))
		case 2:
			s.list(r, ended("whend_1", 1, relay.DeliveryFailed))
		}
		want = append(want, r.ID)
	}
	slices.Reverse(want)
	for _, limit := range []int{1, 7, 40, 100} {
		eventually(s, fmt.Sprintf("pages of %d", limit), want, func() []string { return s.listed(relay.EventFilter{}, limit) })
	}
	badCursor(s, "events", func(p relay.Page) ([]relay.EventSummary, string, error) {
		return s.Events(s.ctx, s.a, relay.EventFilter{}, p)
	})
	badCursor(s, "failed events", func(p relay.Page) ([]relay.EventSummary, string, error) {
		return s.Events(s.ctx, s.a, relay.EventFilter{Statuses: []relay.EventStatus{relay.EventFailed}}, p)
	})

	// Events of one millisecond have no order, and are still all there once.
	for range 10 {
		r := s.event(s.a, 100)
		s.putRecord(r)
		s.list(r)
		want = append(want, r.ID)
	}
	slices.Sort(want)
	for _, limit := range []int{1, 3, 100} {
		eventually(s, "events of one time", want, func() []string { return slices.Sorted(slices.Values(s.listed(relay.EventFilter{}, limit))) })
	}
}

func (s *storeTest) eventsMeanwhile() {
	var want []string
	for i := range 20 {
		r := s.put(i)
		s.list(r)
		want = append(want, r.ID)
	}
	slices.Reverse(want)
	eventually(s, "events", want, func() []string { return s.listed(relay.EventFilter{}, 100) })
	s.clock.Advance(10 * time.Second) // by now, every read has them
	newer := 0
	got := ids(all(s, 4, func(p relay.Page) ([]relay.EventSummary, string, error) {
		page, next, err := s.Events(s.ctx, s.a, relay.EventFilter{}, p)
		newer++
		s.list(s.put(100 + newer))
		return page, next, err
	}), func(e relay.EventSummary) string { return e.ID })
	s.equal("events of before, while newer ones came", slices.DeleteFunc(got, func(id string) bool { return !slices.Contains(want, id) }), want)
}

// A listedEvent is an event with the status that its deliveries give it.
type listedEvent struct {
	relay.EventRecord
	status relay.EventStatus
}

// mixedEvents lists 72 events of several types, sources, subjects, endpoints and
// every status, and returns them newest first, with the time of the first.
func (s *storeTest) mixedEvents() (events []listedEvent, base time.Time) {
	types, sources, subjects := []string{"a.b", "a.c", "b.c", "a.b"}, []string{"", "src_1", "src_2"}, []string{"", "gen_1", odd, "gen_10", "gen_1#"}
	statuses := map[relay.EventStatus][]relay.Delivery{
		relay.EventDelivered: {succeeded("whend_1")},
		relay.EventPending:   {retrying("whend_1", 1, Start.Add(time.Hour))},
		relay.EventFailed:    {ended("whend_1", 1, relay.DeliveryFailed)},
		relay.EventSkipped:   {ended("whend_1", 1, relay.DeliverySkipped)},
		relay.EventUnmatched: nil,
		relay.EventRejected:  {ended(relay.Confirmation, 1, relay.DeliveryRejected)},
	}
	base = s.event(s.a, 0).CreatedAt
	for i := range 72 {
		r := s.event(s.a, i)
		r.Type, r.SourceID, r.Subject = types[i%4], sources[i%3], subjects[i%5]
		status := []relay.EventStatus{
			relay.EventDelivered, relay.EventPending, relay.EventFailed, relay.EventSkipped,
			relay.EventUnmatched, relay.EventRejected,
		}[(i/6)%6]
		if ds := statuses[status]; len(ds) > 0 && ds[0].EndpointID != relay.Confirmation {
			r.Matched = []string{"whend_1"}
			if i%7 == 0 {
				r.Matched = []string{"whend_2", "whend_1"}
			}
		}
		s.putRecord(r)
		ds := slices.Clone(statuses[status])
		if len(r.Matched) == 2 {
			ds = append(ds, ds[0])
			ds[0].EndpointID = "whend_2"
		}
		s.list(r, ds...)
		events = append(events, listedEvent{r, status})
	}
	slices.Reverse(events)
	return events, base
}

func (s *storeTest) eventFilters() {
	events, base := s.mixedEvents()
	at := func(ms int) time.Time { return base.Add(time.Duration(ms) * time.Millisecond) }
	for _, f := range []relay.EventFilter{
		{Types: []string{"a.b"}},
		{Types: []string{"a.c"}},
		{Types: []string{"a"}},
		{Types: []string{"a.*"}},
		{Types: []string{"b.c", "a.c"}},
		{Types: []string{"b.*", "a.c", "*"}},
		{Types: []string{"a*"}},
		{SourceID: "src_1"},
		{SourceID: "src_3"},
		{Subject: "gen_1"},
		{Subject: odd},
		{Subject: "gen_none"},
		{Subject: "gen_1", Statuses: []relay.EventStatus{relay.EventFailed, relay.EventDelivered}},
		{Subject: "gen_10", Since: at(20), Until: at(50)},
		{Subject: "gen_1#", Types: []string{"a.*"}, SourceID: "src_1"},
		{EndpointID: "whend_2"},
		{EndpointID: "whend_1", Statuses: []relay.EventStatus{relay.EventFailed}},
		{EndpointID: "whend_none"},
		{EndpointID: "whend_2", Subject: "gen_1"},
		{Statuses: []relay.EventStatus{relay.EventFailed, relay.EventPending, relay.EventRejected}},
		{Statuses: []relay.EventStatus{relay.EventUnmatched, relay.EventDelivered}},
		{Statuses: []relay.EventStatus{relay.EventDelivered}},
		{Statuses: []relay.EventStatus{relay.EventPending}},
		{Statuses: []relay.EventStatus{relay.EventFailed}},
		{Statuses: []relay.EventStatus{relay.EventSkipped}},
		{Statuses: []relay.EventStatus{relay.EventUnmatched}},
		{Statuses: []relay.EventStatus{relay.EventRejected}},
		{Since: at(30)},
		{Until: at(30)},
		{Since: at(20), Until: at(40)},
		{Since: at(30), Until: at(30)},
		{Since: at(1000)},
		{Until: at(0)},
		{Types: []string{"a.b"}, SourceID: "src_2"},
		{Types: []string{"a.b"}, Statuses: []relay.EventStatus{relay.EventFailed}},
		{SourceID: "src_1", Statuses: []relay.EventStatus{relay.EventDelivered}},
		{Statuses: []relay.EventStatus{relay.EventFailed}, Since: at(20)},
		{Statuses: []relay.EventStatus{relay.EventUnmatched}, Until: at(60)},
		{Statuses: []relay.EventStatus{relay.EventPending}, Since: at(1), Until: at(50)},
		{Types: []string{"a.c"}, SourceID: "src_1", Statuses: []relay.EventStatus{relay.EventSkipped}, Since: at(5), Until: at(70)},
	} {
		var want []string
		for _, e := range events {
			if (len(f.Types) == 0 || slices.Contains(f.Types, e.Type) || slices.Contains(f.Types, e.Type[:2]+"*")) &&
				(f.SourceID == "" || e.SourceID == f.SourceID) && (len(f.Statuses) == 0 || slices.Contains(f.Statuses, e.status)) &&
				(f.Subject == "" || e.Subject == f.Subject) && (f.EndpointID == "" || slices.Contains(e.Matched, f.EndpointID)) &&
				(f.Since.IsZero() || !e.CreatedAt.Before(f.Since)) && (f.Until.IsZero() || e.CreatedAt.Before(f.Until)) {
				want = append(want, e.ID)
			}
		}
		for _, limit := range []int{2, 100} {
			eventually(s, fmt.Sprintf("%+v", f), want, func() []string { return s.listed(f, limit) })
		}
	}
}

// inTheWay is how many items lie before those that a filter wants: more than
// are looked at for a page.
const inTheWay = relay.MaxExamined + 100

func (s *storeTest) eventsInTheWay() {
	var want []string
	for i := range 3 {
		r := s.event(s.a, i)
		r.Type, r.SourceID, r.Matched = "rare.type", "src_rare", []string{"whend_1"}
		s.putRecord(r)
		s.list(r, ended("whend_1", 1, relay.DeliveryFailed))
		want = append(want, r.ID)
	}
	slices.Reverse(want)
	many(inTheWay, func(i int) {
		r := s.event(s.a, 10+i)
		if old, err := s.PutEvent(s.ctx, r); err != nil || old != nil {
			s.Errorf("put event: %v, %v", old, err)
		}
		if err := s.ListEvent(s.ctx, r.Event, nil); err != nil {
			s.Errorf("list event: %v", err)
		}
	})
	for _, f := range []relay.EventFilter{
		{Types: []string{"rare.type"}},
		{SourceID: "src_rare"},
		{Statuses: []relay.EventStatus{relay.EventFailed}},
		{Types: []string{"rare.type"}, Statuses: []relay.EventStatus{relay.EventFailed}},
		{Until: Start.Add(10 * time.Millisecond)},
	} {
		eventually(s, fmt.Sprintf("%+v", f), want, func() []string { return s.listed(f, 2) })
	}
	eventually(s, "all", inTheWay+3, func() int {
		return len(slices.Compact(slices.Sorted(slices.Values(s.listed(relay.EventFilter{}, 100)))))
	})
	eventually(s, "unmatched", inTheWay, func() int {
		return len(s.listed(relay.EventFilter{Statuses: []relay.EventStatus{relay.EventUnmatched}}, 100))
	})
	eventually(s, "delivered", 0, func() int {
		return len(s.listed(relay.EventFilter{Statuses: []relay.EventStatus{relay.EventDelivered}}, 100))
	})
}
