package relaytest

import (
	"hash/fnv"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// SeedVariable is the environment variable that sets the seed of a test.
const SeedVariable = "RELAYTEST_SEED"

// Seed returns the seed that the environment variable RELAYTEST_SEED gives, else
// a fresh one. A test that fails prints it.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64() >> 1
	if text := os.Getenv(SeedVariable); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", SeedVariable, err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again with %s=%d", SeedVariable, seed)
		}
	})
	return seed
}

// Dice decide about faults. A throw depends on the seed, on what is done, what
// it is done to, and how often that was asked before: so a seed gives the same
// faults again in whatever order goroutines come to ask. It is safe for
// concurrent use.
type Dice struct {
	seed   uint64
	calm   atomic.Bool
	script *Script // decides instead, if there is one

	mu    sync.Mutex
	asked map[[2]string]uint64
}

// NewDice returns dice of a seed.
func NewDice(seed uint64) *Dice { return &Dice{seed: seed, asked: map[[2]string]uint64{}} }

// Calm ends all faults: from now on Chance says no.
func (d *Dice) Calm() { d.calm.Store(true) }

// Chance says yes with probability p.
func (d *Dice) Chance(p float64, what, about string) bool {
	if p <= 0 || d.calm.Load() {
		return false
	}
	if d.script != nil {
		return d.script.choose(what + " " + about)
	}
	return d.Throw(what, about).Float64() < p
}

// Throw returns random numbers for what is done to about.
func (d *Dice) Throw(what, about string) *rand.Rand {
	d.mu.Lock()
	n := d.asked[[2]string{what, about}]
	d.asked[[2]string{what, about}]++
	d.mu.Unlock()
	h := fnv.New64a()
	h.Write([]byte(what))
	h.Write([]byte{0})
	h.Write([]byte(about))
	return rand.New(rand.NewPCG(d.seed, h.Sum64()+n*0x9e3779b97f4a7c15))
}
