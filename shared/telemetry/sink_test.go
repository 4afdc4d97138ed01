package telemetry

import (
	"log/slog"
	"maps"
	"testing"
	"time"
)

type tally map[string]float64

func (t tally) Count(c Count, class string, n int) { t[string(c)+" "+class] += float64(n) }
func (t tally) Observe(m Measure, v float64)       { t[string(m)] += v }

// A sink gets everything once, also of lines that the level leaves out.
func TestASinkGetsWhatEveryLineCountsWhateverTheLevel(t *testing.T) {
	got := tally{}
	log := New(slog.New(slog.DiscardHandler), time.Now).WithSink(got)
	for range 2 {
		line := log.Line("dispatch")
		line.Count(Delivered, 2)
		line.CountClass(AttemptsFailed, "timeout")
		line.CountClass(AttemptsFailed, "Not A Class")
		line.Count(AttemptsFailed, 1)
		line.Observe(AttemptDuration, 7)
		line.End(t.Context(), slog.LevelInfo)
	}
	want := tally{"delivered ": 4, "attempts_failed timeout": 2, "attempts_failed other": 2, "attempts_failed ": 2, "attempt_duration_ms": 14}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
