package main

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"hookferry/shared/bounds"
	"hookferry/shared/dispatcher"
	"hookferry/shared/sqlite"
	"hookferry/shared/telemetry"
)

// metrics show the work of a node as Prometheus reads it, on a listener of its own
// that no provider reaches. They are fed by the same lines as the log. A nil
// metrics shows nothing.
type metrics struct {
	ln  net.Listener
	srv *http.Server

	counts   map[telemetry.Count]*prometheus.CounterVec
	measures map[telemetry.Measure]prometheus.Histogram
	inFlight prometheus.Gauge
}

// The counts that are shown, with what divides them.
var shownCounts = []struct {
	count             telemetry.Count
	name, label, help string
}{
	{telemetry.Accepted, "events_accepted_total", "", "Events that were answered with 2xx."},
	{telemetry.Duplicates, "events_duplicate_total", "", "Events that were there already."},
	{telemetry.Rejected, "calls_refused_total", "reason", "Providers' calls that were refused."},
	{telemetry.Unmatched, "events_unmatched_total", "", "Events that no endpoint wanted."},
	{telemetry.Delivered, "attempts_delivered_total", "", "Attempts that succeeded."},
	{telemetry.AttemptsFailed, "attempts_failed_total", "code", "Attempts that failed."},
	{telemetry.Exhausted, "deliveries_exhausted_total", "", "Deliveries whose last attempt failed."},
	{telemetry.Skipped, "deliveries_skipped_total", "", "Deliveries that were not made, because the endpoint was disabled or deleted."},
	{telemetry.Overdue, "deliveries_overdue_total", "", "Deliveries that the repair walk found late."},
	{telemetry.Poisoned, "messages_poisoned_total", "", "Messages that became dead letters."},
	{telemetry.EndpointDisabled, "endpoints_disabled_total", "", "Endpoints that the relay disabled."},
	{telemetry.ServerErrors, "server_errors_total", "", "Answers of 5xx."},
}

// The measures that are shown, in seconds.
var shownMeasures = map[telemetry.Measure][2]string{
	telemetry.AcceptLatency:   {"accept_duration_seconds", "How long a provider's call took to be answered."},
	telemetry.AcceptToAttempt: {"accept_to_attempt_seconds", "From acceptance to the start of the first attempt."},
	telemetry.AttemptDuration: {"attempt_duration_seconds", "How long an attempt took."},
	telemetry.RetryLateness:   {"retry_lateness_seconds", "How late a retry started."},
}

// startMetrics listens on addr and answers GET /metrics; an empty addr is nowhere.
func startMetrics(ctx context.Context, addr string, b backend) (*metrics, error) {
	if addr == "" {
		return nil, nil
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("-metrics: %w; it is like 127.0.0.1:9090", err)
	}
	m := &metrics{ln: ln, counts: map[telemetry.Count]*prometheus.CounterVec{}, measures: map[telemetry.Measure]prometheus.Histogram{}}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, c := range shownCounts {
		var labels []string
		if c.label != "" {
			labels = []string{c.label}
		}
		vec := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "hookferry", Name: c.name, Help: c.help}, labels)
		if c.label == "" {
			vec.WithLabelValues() // it is 0 before it is counted
		}
		m.counts[c.count] = vec
		reg.MustRegister(vec)
	}
	for measure, about := range shownMeasures {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "hookferry", Name: about[0], Help: about[1],
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		})
		m.measures[measure] = h
		reg.MustRegister(h)
	}
	m.inFlight = prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "hookferry", Name: "calls_in_flight", Help: "Deliveries under way."})
	build := thisBuild()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "hookferry", Name: "build_info", Help: "Which program this is.",
		ConstLabels: prometheus.Labels{"version": build.Version, "revision": build.Revision, "goversion": build.Go},
	})
	info.Set(1)
	reg.MustRegister(m.inFlight, info, queueCollector{b})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: bounds.NodeRead / 3}))
	m.srv = &http.Server{Handler: mux, ReadHeaderTimeout: bounds.NodeHeaders, ReadTimeout: bounds.NodeRead, WriteTimeout: bounds.NodeWrite, IdleTimeout: bounds.NodeIdle}
	go func() { _ = m.srv.Serve(ln) }() // until close
	return m, nil
}

// address is where the metrics are, for the log; empty for nowhere.
func (m *metrics) address() string {
	if m == nil {
		return ""
	}
	return baseURL(m.ln) + "/metrics"
}

func (m *metrics) close() {
	if m != nil {
		m.srv.Close()
	}
}

// Count implements telemetry.Sink.
func (m *metrics) Count(c telemetry.Count, class string, n int) {
	vec, ok := m.counts[c]
	if !ok {
		return
	}
	for _, shown := range shownCounts {
		if shown.count == c && shown.label != "" {
			if class == "" {
				class = "other"
			}
			vec.WithLabelValues(class).Add(float64(n))
			return
		}
	}
	vec.WithLabelValues().Add(float64(n))
}

// Observe implements telemetry.Sink. Measures are in milliseconds.
func (m *metrics) Observe(measure telemetry.Measure, v float64) {
	if h, ok := m.measures[measure]; ok {
		h.Observe(v / 1000)
	}
}

// countCalls wraps what makes deliveries, so that those under way are counted.
func (m *metrics) countCalls(next dispatcher.Client) dispatcher.Client {
	return countedCalls{next, m.inFlight}
}

type countedCalls struct {
	dispatcher.Client
	inFlight prometheus.Gauge
}

// Do implements dispatcher.Client.
func (c countedCalls) Do(r *http.Request) (*http.Response, error) {
	c.inFlight.Inc()
	defer c.inFlight.Dec()
	return c.Client.Do(r)
}

// A queueCollector asks both lanes how long they are, when it is asked itself.
type queueCollector struct{ b backend }

var (
	queueMessages = prometheus.NewDesc("hookferry_queue_messages", "Messages of a lane: due, or waiting for their time or in flight.", []string{"lane", "state"}, nil)
	queueAge      = prometheus.NewDesc("hookferry_queue_oldest_due_seconds", "How long the message has been due that has been due for the longest.", []string{"lane"}, nil)
	queueDead     = prometheus.NewDesc("hookferry_queue_dead_letters", "Dead letters of a lane.", []string{"lane"}, nil)
)

// Describe implements prometheus.Collector.
func (q queueCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- queueMessages
	ch <- queueAge
	ch <- queueDead
}

// Collect implements prometheus.Collector. A lane that does not answer is left out.
func (q queueCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), bounds.Ready)
	defer cancel()
	for name, l := range map[string]lane{"events": q.b.events, "retries": q.b.retries} {
		if dead, err := l.DeadCount(ctx); err == nil {
			ch <- prometheus.MustNewConstMetric(queueDead, prometheus.GaugeValue, float64(dead), name)
		}
		own, ok := l.(*sqlite.Queue) // SQS has its own metrics
		if !ok {
			continue
		}
		if visible, hidden, err := own.Depth(ctx); err == nil {
			ch <- prometheus.MustNewConstMetric(queueMessages, prometheus.GaugeValue, float64(visible), name, "due")
			ch <- prometheus.MustNewConstMetric(queueMessages, prometheus.GaugeValue, float64(hidden), name, "waiting")
		}
		if age, err := own.OldestDue(ctx); err == nil {
			ch <- prometheus.MustNewConstMetric(queueAge, prometheus.GaugeValue, age.Seconds(), name)
		}
	}
}
