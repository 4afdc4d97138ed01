package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// A bench of 200 events says what each program took, for either way in.
func TestBenchMeasuresTheRelayAgainstABareProgram(t *testing.T) {
	for _, ingest := range []string{"publish", "rivya"} {
		t.Run(ingest, func(t *testing.T) {
			t.Parallel()
			out := output(t, nil, "bench", "-json", "-n", "200", "-ingest", ingest, "-dir", t.TempDir())
			var got struct {
				Events      int
				Relay, Bare measured
				Ratio       float64 `json:"cpu_ratio"`
			}
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatalf("%v in %q", err, out)
			}
			for name, m := range map[string]measured{"relay": got.Relay, "bare": got.Bare} {
				if m.PerSecond <= 0 || m.LastDelivery <= 0 || m.CPU <= 0 {
					t.Errorf("%s: got %+v, want everything measured", name, m)
				}
				if !(0 < m.P50 && m.P50 <= m.P95 && m.P95 <= m.P99 && m.P99 <= m.Max) {
					t.Errorf("%s: got %+v, want percentiles in order", name, m)
				}
			}
			if got.Events != 200 || got.Ratio <= 0 {
				t.Errorf("got %d events and ratio %v", got.Events, got.Ratio)
			}
		})
	}
}

// The table for people names the same things, at a pace too.
func TestBenchPrintsATableAtAPace(t *testing.T) {
	out := output(t, nil, "bench", "-n", "20", "-rate", "200", "-size", "64", "-c", "4", "-dir", t.TempDir())
	for _, want := range []string{"200 a second", "latency p99, ms", "CPU s for 1,000 events", "times the CPU"} {
		if !strings.Contains(out, want) {
			t.Errorf("got %q, want %q in it", out, want)
		}
	}
}

// What would take for ever, or means nothing, is refused before anything starts.
func TestBenchIsBounded(t *testing.T) {
	for flag, bad := range map[string]string{"-n": "200001", "-size": "63", "-c": "0", "-rate": "-1", "-ingest": "sivi"} {
		if said := refused(t, nil, "bench", flag, bad); !strings.Contains(said, flag+": want") {
			t.Errorf("%s %s: got %q, want it refused", flag, bad, said)
		}
	}
}

// The noise is bounded too, and every row of it says what goes on.
func TestTheNoiseOfABenchIsBounded(t *testing.T) {
	for _, bad := range []string{"0", "101", "-1"} {
		if said := refused(t, nil, "bench", "-noisy", "-scale", bad); !strings.Contains(said, "-scale: want") {
			t.Errorf("-scale %s: got %q, want it refused", bad, said)
		}
	}
	for i, n := range noises(1) {
		if n.Name == "" || (n.events == 0) != (i == 0) || (n.stall == 0) != (i == 0) {
			t.Errorf("row %d is %+v", i, n)
		}
	}
}
