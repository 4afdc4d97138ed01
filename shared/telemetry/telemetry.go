// Package telemetry writes what happened: one wide JSON line for a request or a
// batch, with counts and measures that are also its metrics, and one line for a
// failure. A success leaves no line of its own; its record is on the store.
//
// In a Lambda the same line is in CloudWatch's embedded metric format: the
// counts and measures become metrics without a call, see Log.WithMetrics.
// Identifiers that tie lines to each other (request_id, trace_id) come with the
// context, see With.
package telemetry

import (
	"context"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"time"
)

// A Count is something that is counted.
type Count string

// The counts.
const (
	Accepted         Count = "accepted"          // events answered with 2xx
	Duplicates       Count = "duplicates"        // events that were there already
	Rejected         Count = "rejected"          // provider calls refused; with a reason
	Delivered        Count = "delivered"         // attempts that succeeded
	AttemptsFailed   Count = "attempts_failed"   // attempts that failed; with their error code
	Exhausted        Count = "exhausted"         // deliveries whose last attempt failed
	Skipped          Count = "skipped"           // deliveries not made: endpoint disabled or deleted
	Unmatched        Count = "unmatched"         // events that no endpoint wanted
	Hops             Count = "hops"              // messages put back to wait on
	Poisoned         Count = "poisoned"          // messages put on a dead-letter queue
	ItemsFailed      Count = "items_failed"      // messages that must come again
	Overdue          Count = "overdue"           // deliveries found late by the repair walk
	RepairWalks      Count = "repair_walks"      // repair walks that came to their end
	EndpointDisabled Count = "endpoint_disabled" // endpoints disabled by us
	ServerErrors     Count = "server_errors"     // answers of 5xx
)

// A Measure is something that has a distribution. All are in milliseconds but
// BatchSize.
type Measure string

// The measures.
const (
	AcceptLatency   Measure = "accept_ms"           // a provider's call, from start to answer
	AcceptToAttempt Measure = "accept_to_attempt"   // acceptance to the start of the first attempt
	AttemptDuration Measure = "attempt_duration_ms" // one attempt
	RetryLateness   Measure = "retry_lateness_ms"   // due time to start of a retry
	BatchSize       Measure = "batch_size"
)

// A Log makes lines. The zero value and nil write nothing. It is safe for
// concurrent use.
type Log struct {
	logger  *slog.Logger
	now     func() time.Time
	metrics *Metrics
	classes *classes
	sink    Sink // nil: none
}

// New returns a Log that writes to logger.
func New(logger *slog.Logger, now func() time.Time) *Log { return &Log{logger: logger, now: now} }

// Line starts a line with the message msg, like "dispatch". End writes it.
func (l *Log) Line(msg string) *Line {
	line := &Line{log: l, msg: msg}
	if l != nil && l.now != nil {
		line.started = l.now()
	}
	return line
}

// Failure writes a line about one failed thing at once, at level ERROR.
func (l *Log) Failure(ctx context.Context, msg string, err error, attrs ...slog.Attr) {
	if l == nil || l.logger == nil {
		return
	}
	attrs = append(slices.Clip(attrs), slog.String("error", err.Error()))
	l.logger.LogAttrs(ctx, slog.LevelError, msg, append(attrs, contextAttrs(ctx)...)...)
}

// Outcome writes a line at once about one thing that went as it may go, but not
// well, at level WARN: a call that a destination failed. What is written so can
// be counted by its attributes, like the endpoint, without a metric for each.
func (l *Log) Outcome(ctx context.Context, msg string, attrs ...slog.Attr) {
	if l == nil || l.logger == nil {
		return
	}
	l.logger.LogAttrs(ctx, slog.LevelWarn, msg, append(slices.Clip(attrs), contextAttrs(ctx)...)...)
}

// A Line collects what happened in one request or batch. It is safe for
// concurrent use; its methods on nil do nothing.
type Line struct {
	log     *Log
	msg     string
	started time.Time

	mu       sync.Mutex
	attrs    []slog.Attr
	counts   map[Count]int
	classes  map[Count]map[string]int
	measures map[Measure][]float64
}

// Set adds an attribute.
func (l *Line) Set(attrs ...slog.Attr) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attrs = append(l.attrs, attrs...)
}

// Count adds n to a count.
func (l *Line) Count(c Count, n int) {
	if l == nil || n == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = map[Count]int{}
	}
	l.counts[c] += n
}

// CountClass adds 1 to a count and to its class, one of a small fixed set: a
// word of lower-case letters, digits and underscores. What is no such word, or
// the seventeenth class of a count, is counted as "other", so that no input can
// make metrics.
func (l *Line) CountClass(c Count, class string) {
	if l == nil {
		return
	}
	l.Count(c, 1)
	class = l.log.class(c, class)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.classes == nil {
		l.classes = map[Count]map[string]int{}
	}
	if l.classes[c] == nil {
		l.classes[c] = map[string]int{}
	}
	l.classes[c][class]++
}

// Observe adds one value of a measure. What JSON cannot hold is left out.
func (l *Line) Observe(m Measure, v float64) {
	if l == nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.measures == nil {
		l.measures = map[Measure][]float64{}
	}
	l.measures[m] = append(l.measures[m], v)
}

// ObserveDuration adds one duration, in milliseconds.
func (l *Line) ObserveDuration(m Measure, d time.Duration) {
	l.Observe(m, float64(d)/float64(time.Millisecond))
}

// End writes the line if its level is enabled. Counts and measures that are
// metrics (Log.WithMetrics) are written at any level.
func (l *Line) End(ctx context.Context, level slog.Level) {
	if l == nil || l.log == nil || l.log.logger == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.log.sink != nil {
		l.feed(l.log.sink)
	}
	if l.log.metrics != nil && len(l.counts)+len(l.measures) > 0 {
		l.log.writeMetrics(ctx, level, l)
		return
	}
	if l.log.logger.Enabled(ctx, level) { // else what it would say is not gathered
		l.log.logger.LogAttrs(ctx, level, l.msg, l.wide(ctx)...)
	}
}

// wide returns all that the line says; the caller holds l.mu.
func (l *Line) wide(ctx context.Context) []slog.Attr {
	attrs := append(slices.Clone(l.attrs), contextAttrs(ctx)...)
	if !l.started.IsZero() {
		attrs = append(attrs, slog.Float64("duration_ms", float64(l.log.now().Sub(l.started).Microseconds())/1000))
	}
	for _, c := range slices.Sorted(maps.Keys(l.counts)) {
		attrs = append(attrs, slog.Int(string(c), l.counts[c]))
		for _, class := range slices.Sorted(maps.Keys(l.classes[c])) {
			attrs = append(attrs, slog.Int(ClassMetric(c, class), l.classes[c][class]))
		}
	}
	for _, m := range slices.Sorted(maps.Keys(l.measures)) {
		attrs = append(attrs, slog.Float64(string(m)+"_max", slices.Max(l.measures[m])))
	}
	return attrs
}
