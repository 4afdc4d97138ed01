//go:build cdk

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"hookferry/shared/telemetry"
)

// A day is what CloudWatch holds: by metric, the values of each minute. A minute
// without an entry has no data.
type day struct {
	from    int // the first minute that is looked at
	minutes int // and the last
	values  map[string]map[int][]float64
}

// metricID names a metric by namespace, name and dimensions, references and all.
func metricID(namespace, name string, dimensions any) string {
	pairs := map[string]string{}
	for _, d := range list(dimensions) {
		pairs[at(d, "Name").(string)] = text(at(d, "Value"))
	}
	b, _ := json.Marshal(pairs) // keys in order
	return namespace + " " + name + " " + string(b)
}

func (d *day) put(id string, minute int, values ...float64) {
	if d.values[id] == nil {
		d.values[id] = map[int][]float64{}
	}
	d.values[id][minute] = append(d.values[id][minute], values...)
}

// write takes the metrics out of a line that a function writes, as CloudWatch
// does: by what the line itself says of them.
func (d *day) write(t *testing.T, minute int, function string, fill func(*telemetry.Line)) {
	t.Helper()
	var out bytes.Buffer
	line := telemetry.New(slog.New(slog.NewJSONHandler(&out, nil)), time.Now).WithMetrics(telemetry.Metrics{Stage: "dev", Function: function}).Line("drill")
	fill(line)
	line.End(context.Background(), slog.LevelInfo)
	for text := range bytes.Lines(out.Bytes()) {
		var fields map[string]any
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		for _, directive := range list(at(fields, "_aws.CloudWatchMetrics")) {
			dims := []any{}
			for _, name := range list(at(directive, "Dimensions.0")) {
				dims = append(dims, map[string]any{"Name": name, "Value": fields[name.(string)]})
			}
			for _, m := range list(at(directive, "Metrics")) {
				name := at(m, "Name").(string)
				for _, v := range list(fields[name]) {
					d.put(metricID(at(directive, "Namespace").(string), name, dims), minute, v.(float64))
				}
			}
		}
	}
}

// stat is one data point of a metric: a statistic over a period that ends before
// a minute.
func (d *day) stat(id, statistic string, end, minutes int) (float64, bool) {
	var all []float64
	for m := end - minutes; m < end; m++ {
		all = append(all, d.values[id][m]...)
	}
	if len(all) == 0 {
		return 0, false
	}
	switch statistic {
	case "Sum":
		sum := 0.0
		for _, v := range all {
			sum += v
		}
		return sum, true
	case "Maximum":
		return slices.Max(all), true
	case "p99":
		slices.Sort(all)
		return all[int(math.Ceil(0.99*float64(len(all))))-1], true
	}
	panic("statistic " + statistic)
}

// rings reports whether an alarm is on at any minute of the day. It is evaluated
// each minute over its last periods, M of N, with what it says of missing data.
func (d *day) rings(t *testing.T, alarm resource) bool {
	t.Helper()
	n, m := int(alarm.at("EvaluationPeriods").(float64)), int(alarm.at("DatapointsToAlarm").(float64))
	threshold := alarm.at("Threshold").(float64)
	point := func(end int) (float64, bool) { return 0, false }
	period := 60.0
	if metrics, ok := alarm.at("Metrics").([]any); ok {
		expression := ""
		ids := map[string]func(end int) (float64, bool){}
		for _, x := range metrics {
			id := at(x, "Id").(string)
			if e, ok := at(x, "Expression").(string); ok {
				expression = e
				continue
			}
			s := at(x, "MetricStat")
			name := metricID(at(s, "Metric.Namespace").(string), at(s, "Metric.MetricName").(string), at(s, "Metric.Dimensions"))
			period = at(s, "Period").(float64)
			ids[id] = func(end int) (float64, bool) { return d.stat(name, at(s, "Stat").(string), end, int(period/60)) }
		}
		if expression == "" {
			point = ids[slices.Sorted(maps.Keys(ids))[0]]
		} else {
			point = func(end int) (float64, bool) { return evaluate(t, expression, ids, end) }
		}
	} else {
		name := metricID(alarm.at("Namespace").(string), alarm.at("MetricName").(string), alarm.at("Dimensions"))
		statistic, _ := alarm.at("Statistic").(string)
		if statistic == "" {
			statistic = alarm.at("ExtendedStatistic").(string)
		}
		period = alarm.at("Period").(float64)
		point = func(end int) (float64, bool) { return d.stat(name, statistic, end, int(period/60)) }
	}
	step := int(period / 60)
	for end := max(n*step, d.from); end <= d.minutes; end++ {
		bad := 0
		for i := range n {
			v, ok := point(end - i*step)
			switch {
			case !ok && alarm.at("TreatMissingData") == "breaching",
				ok && alarm.at("ComparisonOperator") == "LessThanThreshold" && v < threshold,
				ok && alarm.at("ComparisonOperator") == "GreaterThanOrEqualToThreshold" && v >= threshold:
				bad++
			}
		}
		if bad >= m {
			return true
		}
	}
	return false
}

var errMissing = errors.New("no data")

// evaluate computes a formula of ours: sums, products, quotients, a comparison,
// FILL and IF. A metric without data makes the result so, but within FILL.
func evaluate(t *testing.T, expression string, ids map[string]func(int) (float64, bool), end int) (float64, bool) {
	t.Helper()
	p := formulaParser{t: t, tokens: formulaTokens.FindAllString(expression, -1), value: func(id string) (float64, error) {
		f, ok := ids[id]
		if !ok {
			t.Fatalf("%s: no metric %s", expression, id)
		}
		if v, ok := f(end); ok {
			return v, nil
		}
		return 0, errMissing
	}}
	v, err := p.sum()
	if len(p.tokens) > 0 {
		t.Fatalf("%s: %v is left over", expression, p.tokens)
	}
	return v, err == nil
}

// healthy is a day of ordinary traffic, with a few of everything that is no
// trouble: a failed attempt, a wrong signature, a hop.
func healthy(t *testing.T, tpl template) *day {
	t.Helper()
	d := &day{minutes: 24 * 60, values: map[string]map[int][]float64{}}
	watched := map[string]string{}
	for _, alarm := range tpl.of("AWS::CloudWatch::Alarm") {
		maps.Copy(watched, metricsOf(alarm))
	}
	for m := range d.minutes {
		d.write(t, m, "receiver", func(l *telemetry.Line) {
			l.Count(telemetry.Accepted, 60)
			l.Observe(telemetry.AcceptLatency, 9)
			l.CountClass(telemetry.Rejected, "signature_mismatch")
		})
		d.write(t, m, "dispatcher", func(l *telemetry.Line) {
			l.Count(telemetry.Delivered, 60)
			l.CountClass(telemetry.AttemptsFailed, "timeout")
			l.Count(telemetry.Hops, 2)
		})
		if m%repairMinutes == 0 {
			d.write(t, m, "repair", func(l *telemetry.Line) { l.Count(telemetry.RepairWalks, 1) })
		}
		for id, namespace := range watched {
			switch {
			case strings.Contains(id, "ApproximateAgeOfOldestMessage"):
				d.set(id, m, 1)
			case strings.HasPrefix(id, "AWS/ApiGateway Count"):
				d.set(id, m, 130)
			case namespace == "AWS/SQS" || namespace == "AWS/Lambda" || namespace == "AWS/ApiGateway":
				d.set(id, m, 0)
			}
		}
	}
	return d
}

func (d *day) set(id string, minute int, v float64) {
	if d.values[id] == nil {
		d.values[id] = map[int][]float64{}
	}
	d.values[id][minute] = []float64{v}
}

// metricsOf returns the metrics that an alarm looks at, with their namespaces.
func metricsOf(alarm resource) map[string]string {
	all := map[string]string{}
	add := func(m any) {
		namespace := at(m, "Namespace").(string)
		all[metricID(namespace, at(m, "MetricName").(string), at(m, "Dimensions"))] = namespace
	}
	if metrics, ok := alarm.at("Metrics").([]any); ok {
		for _, m := range metrics {
			if at(m, "MetricStat") != nil {
				add(at(m, "MetricStat.Metric"))
			}
		}
		return all
	}
	add(alarm.Properties)
	return all
}

// TestEachAlarmIsSilentOnAHealthyDayAndRingsAtItsTrouble evaluates the template's
// alarms as CloudWatch does, on metrics out of the functions' own lines and on
// AWS's.
func TestEachAlarmIsSilentOnAHealthyDayAndRingsAtItsTrouble(t *testing.T) {
	tpl := templates(t)["defaults"]
	const noon = 12 * 60
	write := func(function string, minutes int, fill func(*telemetry.Line)) func(*day, map[string]string) {
		return func(d *day, _ map[string]string) {
			for m := noon; m < noon+minutes; m++ {
				d.write(t, m, function, fill)
			}
		}
	}
	// aws sets a metric of AWS's, found by a part of its id.
	aws := func(part string, minutes int, v float64) func(*day, map[string]string) {
		return func(d *day, of map[string]string) {
			for id := range of {
				if strings.Contains(id, part) {
					for m := noon; m < noon+minutes; m++ {
						d.set(id, m, v)
					}
				}
			}
		}
	}
	troubles := map[string][]func(*day, map[string]string){
		"events-dead-letters":  {aws("Visible", 1, 1)},
		"retries-dead-letters": {aws("Visible", 1, 1)},
		"events-age":           {aws("Age", 3, eventsAgeSeconds)},
		"retries-age":          {aws("Age", 3, retriesAgeSeconds)},
		"overdue":              {write("repair", 10, func(l *telemetry.Line) { l.Count(telemetry.Overdue, 1) })},
		"repair-silent": {func(d *day, of map[string]string) { // each walk fails, and counts nothing
			for id := range of {
				for m := noon; m < noon+20; m++ {
					delete(d.values[id], m)
				}
			}
		}},
		"provider-refused": {
			write("receiver", 1, func(l *telemetry.Line) { l.Count(telemetry.ServerErrors, 1) }),
			write("receiver", 1, func(l *telemetry.Line) { l.CountClass(telemetry.Rejected, "busy") }),
			aws(gatewayNamespace, 1, 1),
		},
		"receiver-errors": {aws("Errors", 2, 1)}, "receiver-throttles": {aws("Throttles", 2, 1)},
		"api-errors": {aws("Errors", 2, 1)}, "api-throttles": {aws("Throttles", 2, 1)},
		"dispatcher-errors": {aws("Errors", 2, 1)}, "dispatcher-throttles": {aws("Throttles", 2, 1)},
		"server-errors":     {aws("5xx", 3, 2)},
		"accept-latency":    {write("receiver", 3, func(l *telemetry.Line) { l.Observe(telemetry.AcceptLatency, acceptLatencyMS+1) })},
		"exhausted-share":   {write("dispatcher", 15, func(l *telemetry.Line) { l.Count(telemetry.Exhausted, 10) })},
		"table-throttles":   {aws("WriteThrottle", 3, 5), aws("ReadThrottle", 3, 5)},
		"endpoint-disabled": {write("dispatcher", 1, func(l *telemetry.Line) { l.Count(telemetry.EndpointDisabled, 1) })},
	}
	quiet := healthy(t, tpl)
	for id, alarm := range tpl.of("AWS::CloudWatch::Alarm") {
		name := strings.TrimPrefix(alarm.at("AlarmName").(string), "hookferry-dev-")
		if quiet.rings(t, alarm) {
			t.Errorf("%s rings on a healthy day", name)
		}
		if len(troubles[name]) == 0 {
			t.Errorf("%s (%s): nobody tries its trouble", name, id)
		}
		for i, trouble := range troubles[name] {
			// The trouble is put on a copy of the metrics that the alarm looks at.
			d := &day{from: noon - 30, minutes: noon + 60, values: map[string]map[int][]float64{}}
			for id := range metricsOf(alarm) {
				d.values[id] = maps.Clone(quiet.values[id])
				if d.values[id] == nil {
					d.values[id] = map[int][]float64{}
				}
			}
			trouble(d, metricsOf(alarm))
			if !d.rings(t, alarm) {
				t.Errorf("%s does not ring at trouble %d", name, i+1)
			}
		}
		delete(troubles, name)
	}
	if len(troubles) > 0 {
		t.Errorf("there is no alarm of %v", slices.Sorted(maps.Keys(troubles)))
	}
}
