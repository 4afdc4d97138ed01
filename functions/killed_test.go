package functions

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestTheLedgerIsExactWhileTheBuiltDispatcherIsKilled is the same as the test in
// this process, with processes: built functions, of whose requests to AWS any
// may fail, stall or be done without an answer, and which are killed in the
// middle of their batches.
func TestTheLedgerIsExactWhileTheBuiltDispatcherIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute; run without -short")
	}
	const n, instances, kills = 2_000, 6, 3
	began := time.Now()
	seed := uint64(began.UnixNano())
	f := &fleet{town: settle(t, deploy(t)), t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1))}
	w := newWeather(t, f.deployment)
	var asked atomic.Uint64
	w.set(func(string, string) fault {
		h := fnv.New64a()
		h.Write([]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})
		i := asked.Add(1)
		h.Write([]byte{byte(i), byte(i >> 8), byte(i >> 16), byte(i >> 24)})
		switch roll := (h.Sum64() ^ h.Sum64()>>29) % 1000; {
		case roll < 15:
			return refused
		case roll < 25:
			return broken
		case roll < 40:
			return lost
		case roll < 42:
			return stalled
		}
		return none
	})
	s := &stage{deployment: f.deployment}
	s.env = append(append(s.env, w.env...), "RETRY_SCHEDULE=0s,1s,1s", "DELIVERY_TIMEOUT=2s", "SSL_CERT_FILE="+certificate(t),
		"SIVI_BASE_URL="+f.server.URL, "LOG_LEVEL=error")
	if _, err := withLoopback(); err != nil {
		t.Fatal(err)
	}

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var batches atomic.Int64
	var wg sync.WaitGroup
	for i := range instances {
		url := f.urls.Events
		if i%3 == 0 {
			url = f.urls.Retries
		}
		wg.Go(func() {
			in := startLoopback(t, "dispatcher", s.env)
			for ctx.Err() == nil {
				batch := s.receive(t, url, time.Second, 5*time.Second)
				if len(batch.Records) == 0 {
					continue
				}
				if url == f.urls.Events && len(batch.Records) > 5 && batches.Add(1)%30 == 0 && f.deaths.Load() < kills {
					f.deaths.Add(1)
					victim := in.process
					time.AfterFunc(time.Duration(rand.IntN(40))*time.Millisecond, func() { victim.Kill() })
				}
				out, err := in.try(batch, 10*time.Second)
				if err == nil {
					s.finish(t, url, batch, out)
				}
				select {
				case <-in.exited:
					in = startLoopback(t, "dispatcher", s.env)
				default:
				}
			}
		})
	}
	register := f.send(t, f.entrance(), n, 16)
	f.quiet(2 * time.Minute)
	stop()
	wg.Wait()
	t.Logf("ledger: seed %d: %d processes killed; %v; all done in %v", seed, f.deaths.Load(), w, time.Since(began).Round(time.Millisecond))
	f.exact(register, n)
	for _, kind := range []fault{refused, stalled, lost, broken} {
		if w.count[kind].Load() == 0 {
			t.Errorf("fault %d never happened", kind)
		}
	}
	if f.deaths.Load() < kills {
		t.Errorf("%d processes were killed, want %d", f.deaths.Load(), kills)
	}
}
