package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"
)

// A machineSpeed says how fast the machine is just then, by two things that every
// relay does: machines differ, and one machine's speed drifts with what else runs
// on it. Figures that were taken at different speeds cannot be compared.
type machineSpeed struct {
	Cores int     `json:"cores"`
	HMAC  float64 `json:"hmac_1k_us"` // HMAC-SHA256 of 1 KB, one core
	Sync  float64 `json:"sync_ms"`    // making 4 KB durable where the data folder is
}

// measureMachine takes less than a second, but for a slow disk.
func measureMachine(dir string) (machineSpeed, error) {
	m := machineSpeed{Cores: runtime.GOMAXPROCS(0)}
	text, key := make([]byte, 1024), make([]byte, 32)
	const rounds = 2000
	best := time.Hour
	for range 5 {
		began := time.Now()
		for range rounds {
			mac := hmac.New(sha256.New, key)
			mac.Write(text)
			key = mac.Sum(key[:0])
		}
		best = min(best, time.Since(began))
	}
	m.HMAC = float64(best.Nanoseconds()) / 1e3 / rounds

	f, err := os.CreateTemp(dir, "hookferry-bench-")
	if err != nil {
		return m, fmt.Errorf("measure the disk: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	page, took := make([]byte, 4096), make([]time.Duration, 0, 21)
	for range cap(took) {
		began := time.Now()
		if _, err := f.Write(page); err != nil {
			return m, fmt.Errorf("measure the disk: %w", err)
		}
		if err := f.Sync(); err != nil {
			return m, fmt.Errorf("measure the disk: %w", err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	m.Sync = float64(took[len(took)/2].Nanoseconds()) / 1e6
	return m, nil
}
