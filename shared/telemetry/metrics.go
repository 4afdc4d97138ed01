package telemetry

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Namespace is where CloudWatch keeps the metrics.
const Namespace = "Hookferry"

// The dimensions of every metric. Each has a handful of values in an account,
// so that the number of metrics, which are billed one by one, is known.
const (
	DimensionStage    = "Stage"
	DimensionFunction = "Function"
)

// Limits of the embedded metric format, and our own on classes.
const (
	maxValues  = 100 // of one metric in one line
	maxMetrics = 100 // in one line
	maxClasses = 16  // of one count
)

// Metrics says whose metrics a Log writes.
type Metrics struct {
	Stage    string // the deployment, like "prod"
	Function string // api, receiver or dispatcher
}

// InLambda returns whose metrics the Lambda writes that this process is, and
// false if it is none: the stack names its functions hookferry-STAGE-FUNCTION,
// and Lambda sets AWS_LAMBDA_FUNCTION_NAME. Lookup is os.LookupEnv or stands for
// it.
func InLambda(lookup func(string) (string, bool)) (Metrics, bool) {
	name, ok := lookup("AWS_LAMBDA_FUNCTION_NAME")
	if !ok {
		return Metrics{}, false
	}
	parts := strings.Split(name, "-")
	if len(parts) != 3 || slices.Contains(parts, "") {
		return Metrics{Stage: "unknown", Function: name}, true
	}
	return Metrics{Stage: parts[1], Function: parts[2]}, true
}

// WithMetrics returns a Log that writes the counts and measures of its lines as
// CloudWatch metrics too: the line carries the metadata of the embedded metric
// format, and each measure all its values, so that percentiles are exact. Below
// the logger's level the metrics alone are written, without what else the line
// says, since a lost line would be a lost metric. l needs a clock and a JSON logger that is in no group.
func (l *Log) WithMetrics(m Metrics) *Log {
	return &Log{logger: l.logger, now: l.now, metrics: &m, classes: &classes{seen: map[Count][]string{}}, sink: l.sink}
}

// ClassMetric returns the name under which a class of a count is written, in
// lines and as a metric: attempts_failed_timeout.
func ClassMetric(c Count, class string) string { return string(c) + "_" + class }

// Counts lists every count.
func Counts() []Count {
	return []Count{
		Accepted, Duplicates, Rejected, Delivered, AttemptsFailed, Exhausted, Skipped,
		Unmatched, Hops, Poisoned, ItemsFailed, Overdue, RepairWalks, EndpointDisabled, ServerErrors,
	}
}

// Measures lists every measure.
func Measures() []Measure {
	return []Measure{AcceptLatency, AcceptToAttempt, AttemptDuration, RetryLateness, BatchSize}
}

// The metadata of the embedded metric format.
type (
	emf struct {
		Timestamp         int64       `json:"Timestamp"`
		CloudWatchMetrics []directive `json:"CloudWatchMetrics"`
	}
	directive struct {
		Namespace  string       `json:"Namespace"`
		Dimensions [][]string   `json:"Dimensions"`
		Metrics    []definition `json:"Metrics"`
	}
	definition struct {
		Name string `json:"Name"`
		Unit string `json:"Unit"`
	}
)

type metric struct {
	definition
	value any // an int, or at most maxValues floats
}

// writeMetrics writes the line, if its level is enabled, with its metrics, and
// what is over a line's limits in more lines that carry nothing else.
func (l *Log) writeMetrics(ctx context.Context, level slog.Level, line *Line) {
	var own []slog.Attr
	if l.logger.Enabled(ctx, level) {
		own = line.wide(ctx)
	}
	for _, batch := range split(line.metrics()) {
		now := l.now()
		rec := slog.NewRecord(now, level, line.msg, 0)
		meta := directive{Namespace: Namespace, Dimensions: [][]string{{DimensionStage, DimensionFunction}}}
		var extra []slog.Attr
		for _, m := range batch {
			meta.Metrics = append(meta.Metrics, m.definition)
			if values, ok := m.value.([]float64); ok {
				extra = append(extra, slog.Any(m.Name, values))
			} else if own == nil {
				extra = append(extra, slog.Any(m.Name, m.value))
			}
		}
		rec.AddAttrs(own...)
		rec.AddAttrs(extra...)
		rec.AddAttrs(slog.String(DimensionStage, l.metrics.Stage), slog.String(DimensionFunction, l.metrics.Function),
			slog.Any("_aws", emf{Timestamp: now.UnixMilli(), CloudWatchMetrics: []directive{meta}}))
		// Past the level: slog has no other way to write what must not be dropped.
		// A line that cannot be written has nowhere to say so.
		_ = l.logger.Handler().Handle(ctx, rec)
		own = nil
	}
}

// metrics returns what the line has counted and measured; the caller holds l.mu.
func (l *Line) metrics() []metric {
	var ms []metric
	for _, c := range slices.Sorted(maps.Keys(l.counts)) {
		ms = append(ms, metric{definition{string(c), "Count"}, l.counts[c]})
		for _, class := range slices.Sorted(maps.Keys(l.classes[c])) {
			ms = append(ms, metric{definition{ClassMetric(c, class), "Count"}, l.classes[c][class]})
		}
	}
	for _, m := range slices.Sorted(maps.Keys(l.measures)) {
		unit := "Milliseconds"
		if m == BatchSize {
			unit = "Count"
		}
		ms = append(ms, metric{definition{string(m), unit}, l.measures[m]})
	}
	return ms
}

// split deals metrics out over lines, within the format's limits. All counts
// that fit are in the first one, where the wide line names them too.
func split(ms []metric) [][]metric {
	lines := [][]metric{nil}
	put := func(at int, m metric) int {
		for ; at < len(lines) && len(lines[at]) == maxMetrics; at++ {
		}
		if at == len(lines) {
			lines = append(lines, nil)
		}
		lines[at] = append(lines[at], m)
		return at + 1
	}
	for _, m := range ms {
		values, ok := m.value.([]float64)
		if !ok {
			put(0, m)
			continue
		}
		// A metric may be in a line only once, so each part goes further on.
		next := 0
		for part := range slices.Chunk(values, maxValues) {
			next = put(next, metric{m.definition, part})
		}
	}
	return lines
}

// classes remembers which classes a count has had.
type classes struct {
	mu   sync.Mutex
	seen map[Count][]string
}

const otherClass = "other"

// class returns the class to count under: itself, or "other".
func (l *Log) class(c Count, class string) string {
	if class == "" || len(class) > 40 || strings.Trim(class, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return otherClass
	}
	if l == nil || l.classes == nil {
		return class
	}
	l.classes.mu.Lock()
	defer l.classes.mu.Unlock()
	switch seen := l.classes.seen[c]; {
	case slices.Contains(seen, class):
		return class
	case len(seen) >= maxClasses:
		return otherClass
	default:
		l.classes.seen[c] = append(seen, class)
		return class
	}
}
