package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// The bounds of a bench: it is to answer in minutes, on one machine.
const (
	maxBench       = 200_000
	maxBenchSize   = 200 << 10
	maxConcurrency = 1024
)

// A benchPlan is what a bench does.
type benchPlan struct {
	Events      int    `json:"events"`
	Size        int    `json:"size"`
	Concurrency int    `json:"concurrency"`
	Rate        int    `json:"rate,omitempty"` // a second; 0: as fast as answers come
	Ingest      string `json:"ingest"`
	dir         string
	target      benchTarget
}

// A measured is what became of one run. Latencies count from when a call was to
// begin to when the destination has its delivery.
type measured struct {
	PerSecond    float64 `json:"publishes_per_second"`
	LastDelivery float64 `json:"last_delivery_s"`       // after the first call began
	Behind       float64 `json:"behind_last_answer_ms"` // the last delivery, after the last call's answer
	P50          float64 `json:"p50_ms"`
	P95          float64 `json:"p95_ms"`
	P99          float64 `json:"p99_ms"`
	Max          float64 `json:"max_ms"`
	Repeats      int     `json:"repeats"`            // deliveries of what had been delivered
	CPU          float64 `json:"cpu_s_per_1000"`     // user and system, start and stop included
	Memory       int64   `json:"peak_rss,omitempty"` // bytes; 0: the system does not say

	Machine machineSpeed `json:"machine"` // just before
}

func benchCommand(p program) *cobra.Command {
	c := verb("bench", "measure the relay on this machine", `Measure the relay on this machine.

It starts hookferry dev in a process of its own on a temporary data folder, and a
destination on loopback; publishes events, waits until each is delivered, with
its signature right, and stops the relay; then it looks whether each one is on
record. The CPU time is that of the relay's process from start to end. Latency
counts from when a call was to begin until its event is at the destination.

Machines differ and their speed drifts. So the same events then go through a bare
program, in a process of its own too, that signs and forwards them and stores
nothing: compare the ratios, and run it more than once. Beside each run stands how
fast the machine was just before.

With -target the same load goes to another system's publish call, which delivers
to the address that -listen names.`,
		"hookferry bench                      # 10,000 events as fast as they are taken",
		"hookferry bench -rate 100 -n 2000    # 100 a second, for latency",
		"hookferry bench -ingest rivya        # signed calls of a provider",
		"hookferry bench -noisy               # beside others that hang and fail; some minutes",
		"hookferry bench -target http://127.0.0.1:3333/publish -template body.json -pid 123",
		"LOG_LEVEL=info hookferry bench       # with the log lines of a relay in use")
	fs := c.Flags()
	var plan benchPlan
	fs.IntVar(&plan.Events, "n", 10_000, "how many `events`; at most 200,000")
	fs.IntVar(&plan.Size, "size", 1024, "`bytes` of each event's data; 64 to 204,800")
	fs.IntVar(&plan.Concurrency, "c", 32, "how many `calls` are under way at once, at most")
	fs.IntVar(&plan.Rate, "rate", 0, "calls a `second`, evenly paced (0: as fast as they are answered)")
	fs.StringVar(&plan.Ingest, "ingest", "publish", "publish: POST /api/v1/webhook-events; rivya: signed calls to a source")
	fs.StringVar(&plan.dir, "dir", "", "`DIR` to make the temporary data folder in, to measure its disk (default: the system's)")
	plan.target.flags(fs)
	asJSON := fs.Bool("json", false, "print one line of JSON")
	noisy := fs.Bool("noisy", false, "the delay of a healthy endpoint's events beside others that hang and fail")
	scale := fs.Int("scale", 1, "with -noisy: a `fraction` of the noise, 1 for all of it, 10 for a tenth")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if *noisy {
			if *scale < 1 || *scale > 100 {
				return errors.New("-scale: want 1 to 100")
			}
			return runNoisy(cmd.Context(), p, plan.dir, *scale, *asJSON)
		}
		return runBench(cmd.Context(), p, plan, *asJSON)
	}
	return c
}

// runBench measures the relay against a program that only signs and forwards.
func runBench(ctx context.Context, p program, plan benchPlan, asJSON bool) error {
	if err := plan.check(); err != nil {
		return err
	}
	relay, bare, err := plan.measure(ctx, p)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(p.out, struct {
			benchPlan
			benchTarget
			Relay measured `json:"relay"`
			Bare  measured `json:"bare"`
			Ratio float64  `json:"cpu_ratio"`
		}{plan, plan.target, relay, bare, relay.CPU / bare.CPU})
	}
	return plan.print(p.out, relay, bare)
}

// measure runs the load through the relay, or another system, and then through the
// bare program, with the machine's speed before each.
func (b benchPlan) measure(ctx context.Context, p program) (relay, bare measured, err error) {
	load := newLoad(b)
	through := func(what string, run func(context.Context, program) (measured, error)) (m measured, err error) {
		speed, err := measureMachine(b.dir)
		if err != nil {
			return m, err
		}
		if m, err = run(ctx, p); err != nil {
			return m, fmt.Errorf("through %s: %w", what, err)
		}
		m.Machine = speed
		return m, nil
	}
	if b.target.URL != "" {
		relay, err = through(b.target.URL, load.throughTarget)
	} else {
		relay, err = through("the relay", load.throughRelay)
	}
	if err == nil {
		bare, err = through("the bare program", load.throughBare)
	}
	return relay, bare, err
}

func (b benchPlan) check() error {
	if err := b.target.check(); err != nil {
		return err
	}
	switch {
	case b.Events < 1 || b.Events > maxBench:
		return fmt.Errorf("-n: want 1 to %d events", maxBench)
	case b.Size < 64 || b.Size > maxBenchSize:
		return fmt.Errorf("-size: want 64 to %d bytes", maxBenchSize)
	case b.Concurrency < 1 || b.Concurrency > maxConcurrency:
		return fmt.Errorf("-c: want 1 to %d calls", maxConcurrency)
	case b.Rate < 0 || b.Rate > maxBench:
		return fmt.Errorf("-rate: want 0 to %d calls a second", maxBench)
	case b.Ingest != "publish" && b.Ingest != "rivya":
		return errors.New("-ingest: want publish or rivya")
	}
	return nil
}

func (b benchPlan) print(out io.Writer, relay, bare measured) error {
	pace := "as fast as answered"
	if b.Rate > 0 {
		pace = fmt.Sprintf("%d a second", b.Rate)
	}
	fmt.Fprintf(out, "%d events of %d bytes, %s, at most %d at once, %s\n\n", b.Events, b.Size, b.Ingest, b.Concurrency, pace)
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	row := func(what, format string, relay, bare float64) {
		fmt.Fprintf(w, "%s\t"+format+"\t"+format+"\t\n", what, relay, bare)
	}
	fmt.Fprint(w, "\trelay\tbare\t\n")
	row("calls answered a second", "%.0f", relay.PerSecond, bare.PerSecond)
	row("last delivery after, s", "%.2f", relay.LastDelivery, bare.LastDelivery)
	row("and behind the last answer, ms", "%.0f", relay.Behind, bare.Behind)
	row("latency p50, ms", "%.1f", relay.P50, bare.P50)
	row("latency p95, ms", "%.1f", relay.P95, bare.P95)
	row("latency p99, ms", "%.1f", relay.P99, bare.P99)
	row("latency max, ms", "%.1f", relay.Max, bare.Max)
	row("delivered more than once", "%.0f", float64(relay.Repeats), float64(bare.Repeats))
	row("CPU s for 1,000 events", "%.3f", relay.CPU, bare.CPU)
	if relay.Memory > 0 {
		row("peak memory, MiB", "%.0f", float64(relay.Memory)/(1<<20), float64(bare.Memory)/(1<<20))
	}
	row("HMAC of 1 KB before, µs", "%.2f", relay.Machine.HMAC, bare.Machine.HMAC)
	row("a sync of the disk before, ms", "%.2f", relay.Machine.Sync, bare.Machine.Sync)
	if err := w.Flush(); err != nil {
		return err
	}
	if relay.CPU == 0 {
		_, err := fmt.Fprintln(out, "\nIts CPU time is not known: name its processes with -pid.")
		return err
	}
	_, err := fmt.Fprintf(out, "\nThe relay takes %.1f times the CPU of signing and forwarding alone.\n", relay.CPU/bare.CPU)
	return err
}

// stallLimit is how long nothing may arrive before a bench gives up.
const stallLimit = 30 * time.Second
