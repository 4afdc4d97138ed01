package relay

import (
	"testing"
	"time"
)

func TestHealth(t *testing.T) {
	start := time.Date(2026, 5, 11, 0, 0, 0, 0, time.UTC)
	const days = 5 * 24 * time.Hour
	failures := func(n int, over time.Duration, timeouts int) Outcomes {
		return Outcomes{LastFailureAt: start.Add(over), FailuresAfter: n, FailingSince: start, TimeoutsAfter: timeouts, Answered: timeouts < n}
	}
	for _, c := range []struct {
		name string
		then []Outcomes
		want Health
	}{
		{"before any attempt", nil, Healthy},
		{"one failure", []Outcomes{failures(1, 0, 0)}, Healthy},
		{"four failures in an hour", []Outcomes{failures(4, time.Hour, 0)}, Healthy},
		{"five failures in less than 30 s", []Outcomes{failures(5, 30*time.Second-time.Millisecond, 0)}, Healthy},
		{"five failures over 30 s", []Outcomes{failures(5, 30*time.Second, 0)}, Degraded},
		{"two timeouts", []Outcomes{failures(2, 10*time.Second, 2)}, Healthy},
		{"three timeouts", []Outcomes{failures(3, 10*time.Second, 3)}, Degraded},
		{"three timeouts, told of one by one", []Outcomes{failures(1, 0, 1), failures(1, 0, 1), failures(1, 0, 1)}, Degraded},
		{"three timeouts with an answer between", []Outcomes{failures(2, 0, 2), failures(1, 0, 0), failures(1, 0, 1)}, Healthy},
		{"three timeouts and then an answer that is a failure", []Outcomes{failures(3, 0, 3), failures(1, 0, 0)}, Healthy},
		{"failures for less than half of the time", []Outcomes{failures(9, days/2-time.Millisecond, 0)}, Degraded},
		{"failures for half of the time", []Outcomes{failures(9, days/2, 0)}, Failing},
		{"two failures, far apart", []Outcomes{failures(2, days/2, 0)}, Failing},
		{"a success after them", []Outcomes{failures(9, days/2, 3), {LastSuccessAt: start.Add(days)}}, Healthy},
		{"failures after a success", []Outcomes{failures(9, days/2, 3), {LastSuccessAt: start.Add(days), LastFailureAt: start.Add(days + time.Second), FailuresAfter: 2, FailingSince: start.Add(days + time.Second), TimeoutsAfter: 2}}, Healthy},
	} {
		var counters Counters
		var merged Outcomes
		for _, o := range c.then {
			counters = counters.Apply(o)
			merged = merged.Merge(o)
		}
		if got := counters.Health(days); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		if got := (Counters{}).Apply(merged).Health(days); got != c.want {
			t.Errorf("%s, told of all at once: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestHoldsGrowWithTheTimeOfFailing(t *testing.T) {
	start := time.Date(2026, 5, 11, 0, 0, 0, 0, time.UTC)
	c := Counters{FailingSince: start}
	for _, x := range []struct{ failing, hold, probe time.Duration }{
		{0, 2 * time.Second, time.Second},
		{time.Minute, 30 * time.Second, 6 * time.Second},
		{20 * time.Minute, 10 * time.Minute, time.Minute},
		{48 * time.Hour, 15 * time.Minute, time.Minute},
	} {
		if got := c.HoldFor(start.Add(x.failing)); got != x.hold {
			t.Errorf("failing for %v: held for %v, want %v", x.failing, got, x.hold)
		}
		if got := c.ProbeAfter(start.Add(x.failing)); got != x.probe {
			t.Errorf("failing for %v: the next call after %v, want %v", x.failing, got, x.probe)
		}
	}
}
