package dispatcher_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"hookferry/shared/dispatcher"
	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

// The model test has the reference implementations below its faults. Here the
// same faults, of every kind, are laid over SQLite.
func TestEveryEventIsDeliveredOnSQLiteThroughEveryFault(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := newSQLiteRig(t)
			r.endpoint("a")
			r.endpoint("b")
			const events = 40
			for i := range events {
				r.accept(fmt.Sprint("evt_", i))
			}
			dice := relaytest.NewDice(seed)
			lanes := []relay.Queue{
				relaytest.NewFaultyQueue(r.events, "events", dice, relaytest.Rough(), r.clock.Now),
				relaytest.NewFaultyQueue(r.retries, "retries", dice, relaytest.Rough(), r.clock.Now),
			}
			cfg := r.cfg
			cfg.Store = relaytest.FaultyStore(r.store, dice, relaytest.Rough(), r.clock.Now)
			cfg.Events, cfg.Retries = lanes[0], lanes[1]
			d := dispatcher.New(cfg)

			open := func() (n int) {
				for i := range events {
					rec, err := r.store.Event(t.Context(), account, fmt.Sprint("evt_", i), true)
					if err != nil { // not recorded yet
						n++
						continue
					}
					ds, listed, err := r.store.Deliveries(t.Context(), rec)
					if err != nil || !listed || len(ds) < 2 {
						n++
						continue
					}
					for _, one := range ds {
						if one.Status != relay.DeliverySucceeded {
							n++
						}
					}
				}
				return n
			}
			for step := 0; open() > 0; step++ {
				if step == 2000 {
					t.Fatalf("%d deliveries are still open", open())
				}
				for _, lane := range lanes {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					batch, err := lane.Receive(ctx, relay.MaxBatch, 0, 6*time.Minute)
					if err == nil && len(batch) > 0 {
						failed := d.Handle(ctx, lane, batch)
						done := slices.DeleteFunc(batch, func(m relay.Received) bool { return slices.Contains(failed, m.ID) })
						_ = lane.Delete(ctx, done...) // one that is lost brings the message again
					}
					cancel()
				}
				r.clock.Advance(10 * time.Second)
				if step%60 == 59 {
					_, _ = d.Repair(t.Context()) // it fails as everything does, and is made again
				}
			}
			for _, name := range []string{"a", "b"} {
				for i := range events {
					id := fmt.Sprint("evt_", i)
					if !slices.ContainsFunc(r.dest.to(name), func(c call) bool { return c.header.Get("Rivya-Webhook-Id") == id }) {
						t.Errorf("%s never reached %s", id, name)
					}
				}
			}
			t.Logf("ledger: %d events to 2 endpoints on SQLite, all delivered with %d calls", events, r.dest.count())
		})
	}
}
