package dynamo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"hookferry/shared/relay"
)

func countersKey(endpoint string) key { return key{"C#" + endpoint, "C"} }

func countersOf(it item) relay.Counters {
	return relay.Counters{
		LastSuccessAt: it.time("s"), LastFailureAt: it.time("f"),
		FailureCount: int(it.int("n")), FailingSince: it.time("b"), Timeouts: int(it.int("t")),
		ProbeUntil: it.time("mp"), DegradedAt: it.time("md"), FailingAt: it.time("mf"), RecoveredAt: it.time("mr"),
	}
}

// Counters implements relay.Store.
func (s *Store) Counters(ctx context.Context, endpoints ...string) (map[string]relay.Counters, error) {
	counters := make(map[string]relay.Counters, len(endpoints))
	var keys []key
	for _, id := range endpoints {
		if _, twice := counters[id]; !twice {
			counters[id] = relay.Counters{}
			keys = append(keys, countersKey(id))
		}
	}
	found, err := s.items(ctx, keys, false)
	if err != nil {
		return nil, fmt.Errorf("read counters: %w", err)
	}
	for k, it := range found {
		counters[strings.TrimPrefix(k.pk, "C#")] = countersOf(it)
	}
	return counters, nil
}

// AddOutcomes implements relay.Store. It does not read first: times are only
// set forward, under a condition, and what the condition refuses is left out of
// a second request. So concurrent calls all count, however many there are.
func (s *Store) AddOutcomes(ctx context.Context, endpoint string, o relay.Outcomes) (relay.Counters, error) {
	forward := map[string]time.Time{"s": o.LastSuccessAt, "f": o.LastFailureAt}
	mark, old := fresh(), s.stale.take(endpoint)
	// Each round drops a time at least, so the third is the last.
	for {
		expr, cond := outcomesUpdate(o, forward, mark, old)
		it, ok, err := s.update(ctx, countersKey(endpoint), expr, cond, returnNew)
		if err != nil {
			return relay.Counters{}, fmt.Errorf("count outcomes of %s: %w", endpoint, err)
		}
		if ok || marked(it, mark) {
			s.stale.learn(endpoint, it, s.now())
			return countersOf(it), nil
		}
		dropped := false
		for name, t := range forward {
			if !t.IsZero() && it.int(name) > t.UnixMilli() {
				forward[name] = time.Time{}
				dropped = true
			}
		}
		if !dropped {
			return relay.Counters{}, fmt.Errorf("count outcomes of %s: refused for no reason", endpoint)
		}
	}
}

// outcomesUpdate builds what relay.Counters.Apply does as an update expression.
func outcomesUpdate(o relay.Outcomes, forward map[string]time.Time, mark []byte, old []string) (expr string, cond condition) {
	values := item{}
	values.setBytes(":w", mark)
	set, add := activityUpdate(o.Activity, values)
	set, remove := append(set, "w = :w"), slices.Clone(old)
	cond = condition{expr: "(attribute_not_exists(w) OR w <> :w)", values: values}
	for _, name := range []string{"s", "f"} {
		if t := forward[name]; !t.IsZero() {
			values.setTime(":"+name, t)
			set = append(set, name+" = :"+name)
			cond.expr += " AND (attribute_not_exists(" + name + ") OR " + name + " <= :" + name + ")"
		}
	}
	succeeded, failed, since := !o.LastSuccessAt.IsZero(), o.FailuresAfter > 0, !o.FailingSince.IsZero()
	if failed {
		values[":n"] = numberValue(int64(o.FailuresAfter))
	}
	if failed && since {
		values.setTime(":b", o.FailingSince)
	}
	timeouts := o.TimeoutsAfter > 0
	if timeouts {
		values[":t"] = numberValue(int64(o.TimeoutsAfter))
	}
	switch anew := succeeded || o.Answered; {
	case anew && timeouts:
		set = append(set, "t = :t")
	case anew:
		remove = append(remove, "t")
	case timeouts:
		values[":zero"] = numberValue(0)
		set = append(set, "t = if_not_exists(t, :zero) + :t")
	}
	switch {
	case succeeded && failed:
		set = append(set, "n = :n")
	case succeeded:
		remove = append(remove, "n")
	case failed:
		values[":zero"] = numberValue(0)
		set = append(set, "n = if_not_exists(n, :zero) + :n")
	}
	switch {
	case succeeded && failed && since:
		set = append(set, "b = :b")
	case succeeded:
		remove = append(remove, "b")
	case failed && since:
		set = append(set, "b = if_not_exists(b, :b)")
	}
	expr = "SET " + strings.Join(set, ", ")
	if len(remove) > 0 {
		expr += " REMOVE " + strings.Join(remove, ", ")
	}
	if len(add) > 0 {
		expr += " ADD " + strings.Join(add, ", ")
	}
	return expr, cond
}

// ResetCounters implements relay.Store.
func (s *Store) ResetCounters(ctx context.Context, endpoint string) error {
	if _, _, err := s.update(ctx, countersKey(endpoint), "REMOVE n, b, t", condition{}, returnNothing); err != nil {
		return fmt.Errorf("reset counters of %s: %w", endpoint, err)
	}
	return nil
}

// TakeMark implements relay.Store. A repeat of the request within the SDK finds
// its own time set, and counts as taken.
func (s *Store) TakeMark(ctx context.Context, endpoint string, m relay.Mark, free, to time.Time) (bool, error) {
	values := item{}
	values.setTime(":free", free)
	values.setTime(":to", to)
	values.setBytes(":w", fresh())
	name := map[relay.Mark]string{
		relay.MarkProbe: "mp", relay.MarkDegraded: "md", relay.MarkFailing: "mf", relay.MarkRecovered: "mr",
	}[m]
	it, ok, err := s.update(ctx, countersKey(endpoint), "SET "+name+" = :to, w = :w",
		condition{expr: "attribute_not_exists(" + name + ") OR " + name + " <= :free", values: values}, returnNothing)
	if err != nil {
		return false, fmt.Errorf("take the mark %s of %s: %w", m, endpoint, err)
	}
	return ok || marked(it, values.bytes(":w")), nil
}
