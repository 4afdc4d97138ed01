package dispatcher_test

import (
	"flag"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hookferry/shared/dispatcher"
	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
	"hookferry/shared/seal"
)

var enumerateFor = flag.Duration("relaytest.enumerate", 10*time.Second, "how long the enumeration of schedules may take")

// smallFaults are what may go wrong at one call. The probabilities say only that
// it may: a script decides.
var smallFaults = relaytest.Faults{
	WriteFails: 1, WriteLies: 1, ReadFails: 1, SendFails: 1, SendLies: 1, Duplicate: 1, DeleteLost: 1, HideLost: 1, Stale: 1, Staleness: time.Second,
}

// A smallWorld is one whose schedules are enumerated.
type smallWorld struct {
	name    string
	events  int
	answers []func(int) int
	budget  relaytest.Budget
}

func takes(int) int       { return 200 }
func takesLast(n int) int { return map[bool]int{true: 200, false: 500}[n >= 3] }
func takesNext(n int) int { return map[bool]int{true: 200, false: 503}[n >= 2] }
func neverTakes(int) int  { return 500 }

// smallSchedule is short, because what follows the third attempt is what
// followed the second.
var smallSchedule = relay.Schedule{0, time.Minute, 5 * time.Minute}

var smallKeys, smallSecret = seal.Generate(), relay.NewSigningSecret()

// runSmall runs one schedule to its end and returns what it broke.
func runSmall(t *testing.T, of smallWorld, s *relaytest.Script) (w *relaytest.World, l relaytest.Ledger) {
	s.Direct(func() {
		cfg := relaytest.WorldConfig{
			Seed: 1, Faults: smallFaults, Script: s, Answers: of.answers, Schedule: smallSchedule, URL: "http://world.test",
			Seal: func(e relay.Endpoint) relay.Endpoint {
				e.Secret = smallKeys.Seal(smallSecret, seal.Place{Account: e.Account, Object: e.ID, Field: "signing_secret"})
				return e
			},
		}
		var caller relaytest.Caller
		cfg.Dispatcher = func(p relaytest.Ports) relaytest.Dispatcher {
			return dispatcher.New(dispatcher.Config{
				Store: p.Store, Events: p.Events, Retries: p.Retries, Keys: smallKeys, Schedule: smallSchedule, Now: p.Now,
				Client: &caller, Jitter: func(d time.Duration) time.Duration { return d / 2 },
			})
		}
		w = relaytest.NewWorld(t.Context(), cfg)
		caller.World = w
		w.RunOut(t.Context(), of.events)
		l = w.Rest(t.Context())
	})
	return w, l
}

// Every schedule of small worlds, not some: each call that can fail fails, with
// and without its effect, each process dies before and after each of its effects,
// each message is received twice, and all of that together as far as the budget
// says: first every schedule in which one thing goes wrong, then every one in
// which two do, and so on, as far as the time goes. No promise is broken in any.
func TestModelEverySchedule(t *testing.T) {
	most := relaytest.Budget{Faults: 3, Deaths: 1, Duplicates: 1, Total: 5}
	worlds := []smallWorld{
		{"one event, one endpoint", 1, []func(int) int{takesNext}, most},
		{"one event, two endpoints", 1, []func(int) int{takes, neverTakes}, most},
		{"two events, one endpoint", 2, []func(int) int{takesLast}, most},
		{"two events, two endpoints", 2, []func(int) int{takes, takesNext}, most},
	}
	sum := 0
	for _, of := range worlds {
		t.Run(of.name, func(t *testing.T) {
			end := time.Now().Add(*enumerateFor / time.Duration(len(worlds)))
			for total := range of.budget.Total + 1 {
				level := of.budget
				level.Total = total
				n, l, all := enumerateLevel(t, of, level, end)
				extent := "all"
				if !all {
					extent = "as far as the time went"
				}
				t.Logf("%d schedules in which %d things go wrong, %s: %s", n, total, extent, l)
				sum += n
				if !all {
					break
				}
			}
		})
	}
	t.Logf("%d schedules", sum)
	if sum < len(worlds) { // however slow the machine is, each has one in which nothing goes wrong
		t.Errorf("only %d schedules", sum)
	}
}

// enumerateLevel runs the schedules in which as much goes wrong as the budget
// says in total, neither more nor less.
func enumerateLevel(t *testing.T, of smallWorld, budget relaytest.Budget, end time.Time) (n int, sum relaytest.Ledger, all bool) {
	var broken, incomplete atomic.Bool
	var mu sync.Mutex
	var wg sync.WaitGroup
	workers := runtime.NumCPU()
	if budget.Total == 0 {
		workers = 1
	}
	for part := range workers {
		wg.Go(func() {
			all := relaytest.Enumerate(budget, part, workers, func(s *relaytest.Script) (goOn bool) {
				if time.Now().After(end) || broken.Load() {
					return false
				}
				synctest.Test(t, func(t *testing.T) {
					w, l := runSmall(t, of, s)
					mu.Lock()
					defer mu.Unlock()
					if v := w.Violations(); len(v) > 0 {
						if !broken.Swap(true) {
							t.Errorf("%s\n\nwhat went wrong:\n%s\n\n%s", strings.Join(v, "\n"), strings.Join(s.Yes(), "\n"), w.Trace())
						}
					} else if s.Wrong() == budget.Total {
						n++
						sum = sum.Add(l)
					}
				})
				return true
			})
			if !all {
				incomplete.Store(true)
			}
		})
	}
	wg.Wait()
	return n, sum, !incomplete.Load()
}

// The same script gives the same run.
func TestAScriptGivesTheSameRunEachTime(t *testing.T) {
	of := smallWorld{"", 2, []func(int) int{takes, takesLast}, relaytest.Budget{}}
	for i := range 200 {
		var points [2]string
		for j := range points {
			synctest.Test(t, func(t *testing.T) {
				s := relaytest.NewScript(i, i+7+i%13)
				w, _ := runSmall(t, of, s)
				points[j] = strings.Join(s.Points(), "\n") + fmt.Sprint(w.Violations())
			})
		}
		if points[0] != points[1] {
			t.Fatalf("script %d: two runs differ:\n%s\n\n%s", i, points[0], points[1])
		}
	}
}
