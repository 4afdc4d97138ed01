package telemetry

// A Sink gets what every line has counted and measured, as the line ends and
// whatever the level of the log: so a process can show its own metrics. It must be
// safe for concurrent use and must not wait.
type Sink interface {
	// Count adds n to a count. Class is one of the few words of the count's classes,
	// or empty for what has none.
	Count(c Count, class string, n int)
	// Observe adds one value of a measure.
	Observe(m Measure, v float64)
}

// WithSink returns a Log like l whose lines also go to a sink.
func (l *Log) WithSink(s Sink) *Log {
	with := *l
	with.sink = s
	if with.classes == nil {
		with.classes = &classes{seen: map[Count][]string{}} // they are bounded here too
	}
	return &with
}

// feed gives the sink what the line has; the caller holds l.mu.
func (l *Line) feed(s Sink) {
	for c, n := range l.counts {
		for class, m := range l.classes[c] {
			s.Count(c, class, m)
			n -= m
		}
		if n > 0 {
			s.Count(c, "", n)
		}
	}
	for m, values := range l.measures {
		for _, v := range values {
			s.Observe(m, v)
		}
	}
}
