package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// newLog returns a Log at a clock that moves 5 ms at each look, and what it has written.
func newLog(level slog.Level) (*Log, *bytes.Buffer) {
	var out bytes.Buffer
	clock := time.Date(2026, 5, 11, 0, 0, 0, 0, time.UTC)
	now := func() time.Time { clock = clock.Add(5 * time.Millisecond); return clock }
	// The time of a plain line is slog's own, so it is left out of all.
	handler := slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	return New(slog.New(handler), now), &out
}

func fill(line *Line) {
	line.Set(slog.String("lane", "retries"))
	line.Count(Delivered, 3)
	line.CountClass(AttemptsFailed, "timeout")
	line.CountClass(AttemptsFailed, "timeout")
	line.CountClass(AttemptsFailed, "http_error")
	line.Observe(BatchSize, 6)
	line.ObserveDuration(AttemptDuration, 1500*time.Microsecond)
	line.ObserveDuration(AttemptDuration, 20*time.Millisecond)
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; -update writes it):\n%s", path, diff)
	}
}

func TestALineSaysWhatHappened(t *testing.T) {
	log, out := newLog(slog.LevelInfo)
	ctx := With(With(t.Context(), slog.String("request_id", "req_1")), slog.String("invocation", "inv_1"))
	line := log.Line("dispatch")
	fill(line)
	line.End(ctx, slog.LevelInfo)
	log.Failure(ctx, "record attempt", errors.New("throttled"), slog.String("event_id", "evt_1"))
	log.Outcome(ctx, "attempt failed", slog.String("endpoint", "whend_1"))
	golden(t, "plain.jsonl", out.Bytes())
}

func TestALineCarriesItsMetricsInTheEmbeddedFormat(t *testing.T) {
	log, out := newLog(slog.LevelInfo)
	log = log.WithMetrics(Metrics{Stage: "prod", Function: "dispatcher"})
	ctx := context.WithValue(t.Context(), "x-amzn-trace-id", "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0") //nolint:staticcheck // the key that the Lambda client uses
	line := log.Line("dispatch")
	fill(line)
	line.End(ctx, slog.LevelInfo)
	golden(t, "emf.jsonl", out.Bytes())
}

func TestMetricsAreWrittenWhateverTheLevel(t *testing.T) {
	log, out := newLog(slog.LevelError)
	log.Line("quiet").End(t.Context(), slog.LevelInfo)
	counted := log.Line("counted")
	counted.Count(Accepted, 1)
	counted.End(t.Context(), slog.LevelInfo)
	if out.Len() != 0 {
		t.Errorf("a Log without metrics wrote below its level: %s", out)
	}
	log = log.WithMetrics(Metrics{Stage: "prod", Function: "receiver"})
	log.Line("quiet").End(t.Context(), slog.LevelInfo)
	if out.Len() != 0 {
		t.Errorf("a line without metrics was written below the level: %s", out)
	}
	counted = log.Line("counted")
	counted.Set(slog.String("account", "acct_1"))
	counted.Count(Accepted, 1)
	counted.Observe(AcceptLatency, 3.5)
	counted.End(t.Context(), slog.LevelInfo)
	lines := decode(t, out)
	if len(lines) != 1 || lines[0].values["accepted"] != 1.0 || lines[0].values["account"] != nil {
		t.Fatalf("got %v, want one line with accepted 1 and no attributes", lines)
	}
	lines[0].check(t)
}

// decoded is a line as CloudWatch reads it.
type decoded struct {
	values map[string]any
	meta   emf
}

func decode(t *testing.T, out *bytes.Buffer) []decoded {
	t.Helper()
	var lines []decoded
	for text := range strings.Lines(out.String()) {
		var d decoded
		var meta struct {
			AWS emf `json:"_aws"`
		}
		if err := errors.Join(json.Unmarshal([]byte(text), &d.values), json.Unmarshal([]byte(text), &meta)); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		d.meta = meta.AWS
		lines = append(lines, d)
	}
	return lines
}

// check holds a line against the rules of the format: every metric and
// dimension is a member, no name twice, no array over 100.
func (d decoded) check(t *testing.T) {
	t.Helper()
	for _, dir := range d.meta.CloudWatchMetrics {
		if len(dir.Metrics) == 0 || len(dir.Metrics) > 100 {
			t.Errorf("%d metrics in a line", len(dir.Metrics))
		}
		var names []string
		for _, m := range dir.Metrics {
			if slices.Contains(names, m.Name) {
				t.Errorf("%s is in a line twice", m.Name)
			}
			names = append(names, m.Name)
			switch v := d.values[m.Name].(type) {
			case float64:
			case []any:
				if len(v) == 0 || len(v) > 100 {
					t.Errorf("%s has %d values", m.Name, len(v))
				}
			default:
				t.Errorf("%s is %T", m.Name, v)
			}
		}
		for _, dim := range dir.Dimensions[0] {
			if s, _ := d.values[dim].(string); s == "" {
				t.Errorf("dimension %s has no value", dim)
			}
		}
	}
}

func TestMeasuresOfMoreThanAHundredValuesAreSplitAndNoneIsLost(t *testing.T) {
	for _, n := range []int{1, 99, 100, 101, 1000, 1001} {
		log, out := newLog(slog.LevelInfo)
		line := log.WithMetrics(Metrics{Stage: "prod", Function: "dispatcher"}).Line("dispatch")
		line.Count(Delivered, n)
		for c := range 90 { // fills a line's hundred metrics
			line.Count(Count(fmt.Sprintf("count_%d", c)), 1)
		}
		for _, m := range Measures() {
			for i := range n {
				line.Observe(m, float64(i))
			}
		}
		line.End(t.Context(), slog.LevelInfo)
		sums, delivered := map[Measure]float64{}, 0.0
		for _, d := range decode(t, out) {
			d.check(t)
			for _, def := range d.meta.CloudWatchMetrics[0].Metrics {
				if def.Name == string(Delivered) {
					delivered += d.values[def.Name].(float64)
				}
				values, _ := d.values[def.Name].([]any)
				for _, v := range values {
					sums[Measure(def.Name)] += v.(float64) + 1
				}
			}
		}
		for _, m := range Measures() {
			if want := float64(n*(n+1)) / 2; sums[m] != want {
				t.Errorf("%d values of %s: sum %v, want %v", n, m, sums[m], want)
			}
		}
		if delivered != float64(n) {
			t.Errorf("delivered %v, want %d once", delivered, n)
		}
	}
}

func TestMoreMetricsThanALineTakesAreSplit(t *testing.T) {
	log, out := newLog(slog.LevelInfo)
	line := log.WithMetrics(Metrics{Stage: "prod", Function: "api"}).Line("x")
	for c := range 150 {
		line.Count(Count(fmt.Sprintf("count_%d", c)), 1)
	}
	for i := range 250 {
		line.Observe(BatchSize, float64(i))
	}
	line.End(t.Context(), slog.LevelInfo)
	total := 0.0
	for _, d := range decode(t, out) {
		d.check(t)
		for _, def := range d.meta.CloudWatchMetrics[0].Metrics {
			v, _ := d.values[def.Name].(float64)
			total += v
		}
	}
	if total != 150 {
		t.Errorf("counts add up to %v, want 150", total)
	}
}

func TestNoInputMakesMetricsWithoutBound(t *testing.T) {
	log, out := newLog(slog.LevelInfo)
	log = log.WithMetrics(Metrics{Stage: "prod", Function: "receiver"})
	names := map[string]bool{}
	for i := range 1000 {
		line := log.Line("receive")
		line.CountClass(Rejected, fmt.Sprintf("reason_%d", i))
		line.CountClass(Rejected, fmt.Sprintf("https://example.com/%d", i))
		line.CountClass(Rejected, "")
		line.CountClass(Rejected, strings.Repeat("x", 100))
		line.End(t.Context(), slog.LevelInfo)
	}
	for _, d := range decode(t, out) {
		d.check(t)
		for _, def := range d.meta.CloudWatchMetrics[0].Metrics {
			names[def.Name] = true
		}
	}
	// The count, sixteen classes, and "other".
	if len(names) != 18 || !names["rejected_other"] || !names["rejected_reason_15"] || names["rejected_reason_16"] {
		t.Errorf("%d names: %v", len(names), names)
	}
}

func TestNilWritesNothing(t *testing.T) {
	var log *Log
	line := log.Line("x")
	fill(line)
	line.End(t.Context(), slog.LevelError)
	log.Failure(t.Context(), "x", errors.New("x"))
	log.Outcome(t.Context(), "x")
	var none *Line
	fill(none)
	none.End(t.Context(), slog.LevelError)
	new(Log).Line("x").End(t.Context(), slog.LevelError)
}

func TestEveryCountAndMeasureIsListed(t *testing.T) {
	src, err := os.ReadFile("telemetry.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, c := range Counts() {
		names[string(c)] = true
	}
	for _, m := range Measures() {
		names[string(m)] = true
	}
	declared := 0
	for text := range strings.Lines(string(src)) {
		if f := strings.Fields(text); len(f) > 3 && (f[1] == "Count" || f[1] == "Measure") && f[2] == "=" {
			declared++
			if !names[strings.Trim(f[3], `"`)] {
				t.Errorf("%s is not listed", f[0])
			}
		}
	}
	if declared != len(names) || declared == 0 {
		t.Errorf("%d declared, %d listed", declared, len(names))
	}
}

func TestAMeasureThatIsNoNumberDoesNotSpoilTheLine(t *testing.T) {
	log, out := newLog(slog.LevelInfo)
	line := log.WithMetrics(Metrics{Stage: "prod", Function: "api"}).Line("x")
	line.Observe(BatchSize, math.NaN())
	line.Observe(BatchSize, math.Inf(1))
	line.Observe(BatchSize, 2)
	line.End(t.Context(), slog.LevelInfo)
	for _, d := range decode(t, out) {
		d.check(t)
	}
}

func TestALambdaKnowsWhoseMetricsItWrites(t *testing.T) {
	for name, want := range map[string]Metrics{
		"hookferry-prod-api": {Stage: "prod", Function: "api"},
		"renamed":            {Stage: "unknown", Function: "renamed"},
		"hookferry--api":     {Stage: "unknown", Function: "hookferry--api"},
	} {
		got, ok := InLambda(func(key string) (string, bool) { return name, key == "AWS_LAMBDA_FUNCTION_NAME" })
		if !ok || got != want {
			t.Errorf("%s: got %v, %v, want %v", name, got, ok, want)
		}
	}
	if _, ok := InLambda(func(string) (string, bool) { return "", false }); ok {
		t.Error("a process outside Lambda takes itself for one")
	}
}
