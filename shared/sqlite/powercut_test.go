package sqlite

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hookferry/shared/relay"
)

// A powerLedger is what a relay at work was promised, and how much of the log is
// known to be on the disk.
type powerLedger struct {
	mu       sync.Mutex
	accepted map[string]bool // sends that were acknowledged
	attempts map[string]bool // attempts that were
	synced   int64
}

// A cut is what a power cut leaves at one moment: the log as far as it was synced,
// and of the rest a part, cut anywhere.
type cut struct {
	accepted, attempts map[string]bool
	log                []byte
}

func (l *powerLedger) cut(t *testing.T, path string) cut {
	t.Helper()
	l.mu.Lock()
	c := cut{accepted: maps.Clone(l.accepted), attempts: maps.Clone(l.attempts)}
	synced := l.synced
	l.mu.Unlock()
	log, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(log)) < synced {
		t.Fatalf("the log has %d bytes, of which %d were synced", len(log), synced)
	}
	c.log = log[:synced+rand.Int64N(int64(len(log))-synced+1)]
	return c
}

// handle does with one message what the dispatcher does, write by write.
func (l *powerLedger) handle(ctx context.Context, db *DB, q *Queue, in relay.Received) error {
	now := relay.Millis(time.Now())
	id := string(in.Body)
	ev := relay.Event{ID: id, Account: "acct_1", CreatedAt: now, Payload: relay.NewPayload([]byte(`{"id":"` + id + `"}`))}
	if _, err := db.PutEvent(ctx, relay.EventRecord{Event: ev, MID: id, Matched: []string{"whend_1"}}); err != nil {
		return err
	}
	if _, err := db.RecordAttempt(ctx, relay.Attempt{
		ID: "att_" + id, EndpointID: "whend_1", Account: "acct_1", EventID: id, Status: relay.AttemptSucceeded, Final: true, CreatedAt: now,
	}); err != nil {
		return err
	}
	l.mu.Lock()
	l.attempts[id] = true
	l.mu.Unlock()
	if err := db.ListEvent(ctx, ev, []relay.Delivery{atFirstAttempt("whend_1")}); err != nil {
		return err
	}
	return q.Delete(ctx, in)
}

// Whenever the power is cut, and wherever the disk has stopped writing: what was
// acknowledged is there, and an event whose message is gone is on record whole.
func TestAPowerCutLosesNothingThatWasAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hookferry.db")
	db := open(t, Config{Path: path, Exclusive: true})
	base, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l := &powerLedger{accepted: map[string]bool{}, attempts: map[string]bool{}}
	sync0 := db.w.syncLog
	db.w.syncLog = func() error {
		size := logOf(t, path)
		err := sync0()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.synced = max(l.synced, size)
		return err
	}
	q := db.Queue("events")
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var work sync.WaitGroup
	for w := range 6 {
		work.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("evt_%d_%d", w, i)
				if q.Send(ctx, message(id)) == nil {
					l.mu.Lock()
					l.accepted[id] = true
					l.mu.Unlock()
				}
			}
		})
		work.Go(func() {
			for ctx.Err() == nil {
				msgs, err := q.Receive(ctx, 3, time.Second, time.Hour)
				for _, in := range msgs {
					if err = l.handle(ctx, db, q, in); err != nil {
						break
					}
				}
				if err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var cuts []cut
	for written := int64(0); len(cuts) < 25; {
		if now := db.w.commits.Load(); now >= written+5 { // not twice at one moment
			written = now
			cuts = append(cuts, l.cut(t, path))
		}
		if logOf(t, path) > logSize/2 {
			break // before the log is copied, which is a story of its own
		}
	}
	cancel()
	work.Wait()
	for i, c := range cuts {
		c.check(t, i, base)
	}
	last := cuts[len(cuts)-1]
	if len(cuts) < 10 || len(last.accepted) < 20 || len(last.attempts) < 10 {
		t.Errorf("%d cuts, the last with %d accepted and %d attempts: too few to tell", len(cuts), len(last.accepted), len(last.attempts))
	}
	t.Logf("%d cuts, the last after %d accepted and %d attempts", len(cuts), len(last.accepted), len(last.attempts))
}

func (c cut) check(t *testing.T, i int, base []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hookferry.db")
	for ending, b := range map[string][]byte{"": base, "-wal": c.log} {
		if err := os.WriteFile(path+ending, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db, err := Open(t.Context(), Config{Path: path, Exclusive: true})
	if err != nil {
		t.Fatalf("cut %d: %v", i, err)
	}
	defer db.Close()
	queued := received(t, db.Queue("events"))
	for id := range c.accepted {
		if _, waits := slices.BinarySearch(queued, id); waits {
			continue
		}
		e, err := db.Event(t.Context(), "acct_1", id, true)
		if err != nil {
			t.Errorf("cut %d: %s was acknowledged, and is neither queued nor on record: %v", i, id, err)
			continue
		}
		if body, err := e.Payload.Bytes(); err != nil || !strings.Contains(string(body), id) {
			t.Errorf("cut %d: %s has the body %q, %v", i, id, body, err)
		}
		if _, listed, err := db.Deliveries(t.Context(), e); err != nil || !listed {
			t.Errorf("cut %d: %s is not queued, and is not listed: %v", i, id, err)
		}
		if _, err := db.Attempt(t.Context(), "acct_1", "whend_1", "att_"+id); err != nil {
			t.Errorf("cut %d: %s is not queued, and its attempt is not on record: %v", i, id, err)
		}
	}
	for id := range c.attempts {
		if _, err := db.Attempt(t.Context(), "acct_1", "whend_1", "att_"+id); err != nil {
			t.Errorf("cut %d: the attempt of %s was acknowledged: %v", i, id, err)
		}
	}
}
