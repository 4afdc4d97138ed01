package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var soakFor = flag.Duration("soak", time.Minute, "how long TestSoak sends events")

// A crowd publishes events to a relay that is killed and started again under it,
// and remembers which were accepted.
type crowd struct {
	t       testing.TB
	start   start
	current atomic.Pointer[relayProc]

	mu       sync.Mutex
	accepted map[string]bool // event ids answered with 202
	unsure   int             // publishes that got no answer
}

func newCrowd(t testing.TB, s start) *crowd {
	c := &crowd{t: t, start: s, accepted: map[string]bool{}}
	c.current.Store(dev(t, s))
	return c
}

// publish sends one event of a type, again and again until one is accepted, because that
// is what a client does whose relay is down for a moment.
func (c *crowd) publish(typ string, data any) {
	for range 2000 {
		status, answer, err := c.current.Load().try("POST", "/api/v1/webhook-events", map[string]any{"type": typ, "data": map[string]any{"n": data}})
		if err == nil && status == 202 {
			c.mu.Lock()
			c.accepted[answer["id"].(string)] = true
			c.mu.Unlock()
			return
		}
		c.mu.Lock()
		c.unsure++
		c.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
	}
	c.t.Error("a publish was not accepted in 20 s")
}

// restart kills the relay as a power cut would and starts it on the same data.
func (c *crowd) restart() {
	c.current.Load().kill()
	c.current.Store(dev(c.t, c.start))
}

func TestKilledInTheMiddleOf5000PublishesItLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute; run without -short")
	}
	onEachBackend(t, func(t *testing.T, b testBackend) {
		// How many calls a kill cuts off is chance: the share is that of all rounds.
		twice, accepted := 0, 0
		for range b.rounds {
			again, all := killTest(t, b)
			twice, accepted = twice+again, accepted+all
		}
		t.Logf("ledger: %d events in %d rounds, %d delivered twice (%.2f %%)", accepted, b.rounds, twice, 100*float64(twice)/float64(accepted))
		if float64(twice) > b.twice*float64(accepted) {
			t.Errorf("%d of %d events were delivered twice, more than %.0f %%", twice, accepted, 100*b.twice)
		}
	})
}

// killTest kills a relay three times and returns how many events were delivered
// more than once, of how many accepted ones.
func killTest(t *testing.T, b testBackend) (twice, accepted int) {
	const publishes, concurrency, kills = 5000, 16, 3
	var mu sync.Mutex
	got := map[string]int{}
	dest := newDestination(t, func(_ int, d delivery) int {
		mu.Lock()
		defer mu.Unlock()
		got[d.header.Get("Rivya-Webhook-Id")]++
		return 200
	})
	c := newCrowd(t, b.with("DELIVERY_TIMEOUT=1s").start("-data", dataDir(t)))
	c.current.Load().endpoint(dest.URL)

	var next atomic.Int64
	var wg sync.WaitGroup
	for range concurrency {
		wg.Go(func() {
			for i := next.Add(1); i <= publishes; i = next.Add(1) {
				c.publish("order.paid", i)
			}
		})
	}
	for k := range int64(kills) {
		for next.Load() < (k+1)*publishes/(kills+1) {
			time.Sleep(time.Millisecond)
		}
		c.restart()
	}
	wg.Wait()
	eventually(t, b.settle, func() string {
		mu.Lock()
		defer mu.Unlock()
		missing := 0
		for id := range c.accepted {
			if got[id] == 0 {
				missing++
			}
		}
		if missing > 0 {
			return fmt.Sprintf("%d of %d accepted events were not delivered", missing, len(c.accepted))
		}
		return ""
	})
	ledger := settled(t, c.current.Load(), len(c.accepted), b.settle)
	mu.Lock()
	defer mu.Unlock()
	calls := 0
	for _, n := range got {
		calls += n
		if n > 1 {
			twice++
		}
	}
	t.Logf("ledger: %d accepted, %d publishes without an answer, %d kills; %s; %d calls, %d events delivered twice (%.2f %%)",
		len(c.accepted), c.unsure, kills, ledger, calls, twice, 100*float64(twice)/float64(len(c.accepted)))
	if len(c.accepted) != publishes {
		t.Errorf("%d accepted, want %d", len(c.accepted), publishes)
	}
	if ledger.total() < len(c.accepted) || ledger.counts["delivered"] != ledger.total() {
		t.Errorf("the record does not agree: %s", ledger)
	}
	return twice, len(c.accepted)
}

func TestACleanStopLosesAndRepeatsNothing(t *testing.T) {
	var mu sync.Mutex
	got := map[string]int{}
	dest := newDestination(t, func(_ int, d delivery) int {
		mu.Lock()
		defer mu.Unlock()
		got[d.header.Get("Rivya-Webhook-Id")]++
		return 200
	})
	c := newCrowd(t, start{args: []string{"-data", dataDir(t)}})
	c.current.Load().endpoint(dest.URL)
	const publishes, stops = 1500, 3
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := next.Add(1); i <= publishes; i = next.Add(1) {
				c.publish("order.paid", i)
			}
		})
	}
	for k := range int64(stops) {
		for next.Load() < (k+1)*publishes/(stops+1) {
			time.Sleep(time.Millisecond)
		}
		r := c.current.Load()
		if err := r.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
		c.current.Store(dev(t, c.start))
	}
	wg.Wait()
	ledger := settled(t, c.current.Load(), len(c.accepted), 30*time.Second)
	mu.Lock()
	defer mu.Unlock()
	for id := range c.accepted {
		if got[id] != 1 {
			t.Errorf("%s was delivered %d times", id, got[id])
		}
	}
	for id, n := range got { // accepted without an answer
		if n != 1 {
			t.Errorf("%s was delivered %d times", id, n)
		}
	}
	t.Logf("ledger: %d accepted through %d clean stops; %s; each delivered once", len(c.accepted), stops, ledger)
}

// A ledger counts the events on record by status.
type ledger struct{ counts map[string]int }

func (l ledger) total() (n int) {
	for _, c := range l.counts {
		n += c
	}
	return n
}

func (l ledger) String() string {
	s := fmt.Sprintf("%d on record =", l.total())
	for i, status := range []string{"delivered", "failed", "skipped", "unmatched", "rejected", "pending"} {
		if i > 0 {
			s += " +"
		}
		s += fmt.Sprintf(" %d %s", l.counts[status], status)
	}
	return s
}

// settled waits until at least want events are on record and none is pending, and
// returns the ledger.
func settled(t testing.TB, r *relayProc, want int, within time.Duration) (l ledger) {
	t.Helper()
	eventually(t, within, func() string {
		l = ledger{counts: map[string]int{}}
		for _, ev := range r.list("/api/v1/webhook-events") {
			l.counts[ev["status"].(string)]++
		}
		if n := l.counts["pending"]; n > 0 || l.total() < want {
			time.Sleep(500 * time.Millisecond)
			return fmt.Sprintf("want %d on record and none pending, got %s", want, l)
		}
		return ""
	})
	return l
}

func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("takes over a minute; run without -short")
	}
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var rngMu sync.Mutex
	rng := rand.New(rand.NewPCG(seed, 1))
	chance := func(n int) int {
		rngMu.Lock()
		defer rngMu.Unlock()
		return rng.IntN(n)
	}
	var mu sync.Mutex
	succeeded := map[string]int{} // event and endpoint: calls answered 2xx
	behave := func(answer func() int) *destination {
		return newDestination(t, func(_ int, d delivery) int {
			status := answer()
			if status == 200 {
				mu.Lock()
				defer mu.Unlock()
				succeeded[d.header.Get("Rivya-Webhook-Endpoint-Id")+" "+d.header.Get("Rivya-Webhook-Id")]++
			}
			return status
		})
	}
	steady := behave(func() int { return 200 })
	flaky := behave(func() int {
		if chance(100) < 30 {
			return 503
		}
		return 200
	})
	slow := behave(func() int {
		if chance(100) < 2 {
			time.Sleep(1500 * time.Millisecond) // over the delivery timeout
			return 500
		}
		time.Sleep(30 * time.Millisecond)
		return 200
	})
	down := behave(func() int { return 500 })

	c := newCrowd(t, start{
		env:  []string{"RETRY_SCHEDULE=0s,1s,1s,2s,2s", "DELIVERY_TIMEOUT=1s"},
		args: []string{"-data", dataDir(t)},
	})
	r := c.current.Load()
	steadyID, _ := r.endpoint(steady.URL, "order.paid", "order.sent")
	flakyID, _ := r.endpoint(flaky.URL, "order.paid", "order.sent")
	slowID, _ := r.endpoint(slow.URL, "order.sent")
	r.endpoint(down.URL, "order.lost")
	toggled, _ := r.endpoint(steady.URL, "order.sent", "order.lost")

	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					c.publish([]string{"order.paid", "order.sent", "order.lost", "order.unheard"}[chance(4)], time.Now().UnixNano())
					time.Sleep(100 * time.Millisecond) // bounded: 80 a second
				}
			}
		})
	}
	kills, began := 0, time.Now()
	for status := "disabled"; time.Since(began) < *soakFor; {
		time.Sleep(time.Duration(2+kills%5) * time.Second)
		c.current.Load().try("PATCH", "/api/v1/webhooks/"+toggled, map[string]any{"status": status})
		if status = map[string]string{"disabled": "active", "active": "disabled"}[status]; status == "disabled" {
			c.restart()
			kills++
		}
	}
	close(stop)
	wg.Wait()
	r = c.current.Load()
	ledger := settled(t, r, len(c.accepted), 60*time.Second)
	t.Logf("ledger after %v and %d kills: %d accepted, %d publishes without an answer; %s",
		time.Since(began).Round(time.Second), kills, len(c.accepted), c.unsure, ledger)
	recorded := map[string]string{} // type by id
	for _, ev := range r.list("/api/v1/webhook-events") {
		recorded[ev["id"].(string)] = ev["type"].(string)
	}
	mu.Lock()
	defer mu.Unlock()
	twice, total := 0, 0
	for id := range c.accepted {
		typ := recorded[id]
		if typ == "" {
			t.Errorf("%s was accepted and is not on record", id)
		}
		for _, ep := range []string{steadyID, slowID, flakyID} {
			n := succeeded[ep+" "+id]
			if n == 0 && ep == steadyID && (typ == "order.paid" || typ == "order.sent") {
				t.Errorf("%s was accepted and never arrived", id)
			}
			if n > 0 {
				total++
			}
			if n > 1 {
				twice++
			}
		}
	}
	t.Logf("ledger: %d deliveries succeeded, %d of them twice", total, twice)
	if twice*50 > total {
		t.Errorf("%d of %d deliveries were made twice, more than 2 %%", twice, total)
	}
	if dead := output(t, nil, "dead", "list", "-data", c.start.args[1]); !strings.Contains(dead, "0 dead letters") {
		t.Errorf("dead letters:\n%s", dead)
	}
}
