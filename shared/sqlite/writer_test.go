package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hookferry/shared/relay"
)

// hold keeps the writer busy until the returned function is called.
func hold(t *testing.T, db *DB) (release func()) {
	t.Helper()
	begun, end := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	var once sync.Once // what another undid is run again
	go func() {
		done <- db.w.relaxed(t.Context(), func(*conn) error {
			once.Do(func() { close(begun) })
			<-end
			return nil
		})
	}()
	<-begun
	return func() {
		close(end)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// waiting returns once n ops wait for the writer.
func waiting(t *testing.T, db *DB, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); len(db.w.ops) < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d ops wait, want %d", len(db.w.ops), n)
		}
	}
}

func message(s string) relay.Outgoing { return relay.Outgoing{Body: []byte(s)} }

func received(t *testing.T, q *Queue) (bodies []string) {
	t.Helper()
	for {
		msgs, err := q.Receive(t.Context(), relay.MaxBatch, 0, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if len(msgs) == 0 {
			slices.Sort(bodies)
			return bodies
		}
		for _, m := range msgs {
			bodies = append(bodies, string(m.Body))
		}
	}
}

func TestWhatWaitsSharesOneCommit(t *testing.T) {
	db := open(t, Config{})
	q := db.Queue("events")
	release := hold(t, db)
	commits := db.w.commits.Load()
	const n = 200
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := q.Send(t.Context(), message(fmt.Sprintf("%03d", i))); err != nil {
				t.Error(err)
			}
		})
	}
	waiting(t, db, n-1) // one may be held for the next group
	release()
	wg.Wait()
	if got := db.w.commits.Load() - commits; got > 3 {
		t.Errorf("%d sends took %d commits", n, got)
	}
	if got := len(received(t, q)); got != n {
		t.Errorf("received %d messages, want %d", got, n)
	}
}

func TestAFailedOpUndoesItselfAlone(t *testing.T) {
	db := open(t, Config{})
	q := db.Queue("events")
	release := hold(t, db)
	boom := errors.New("boom")
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			if err := q.Send(t.Context(), message(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		})
		if i == 4 {
			wg.Go(func() {
				err := db.w.do(t.Context(), func(c *conn) error {
					return errors.Join(insertMessage(c, "events", turn{}, []byte("undone"), db.now(), 0), boom)
				})
				if !errors.Is(err, boom) {
					t.Errorf("got %v, want %v", err, boom)
				}
			})
			wg.Go(func() { // a constraint of the schema
				err := db.w.do(t.Context(), func(c *conn) error {
					if err := insertMessage(c, "events", turn{}, []byte("undone too"), db.now(), 0); err != nil {
						return err
					}
					_, err := c.exec("INSERT INTO meta VALUES ('epoch', 7)")
					return err
				})
				if code(err) == 0 {
					t.Errorf("got %v, want an error of SQLite", err)
				}
			})
		}
	}
	waiting(t, db, 11)
	release()
	wg.Wait()
	want := []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}
	if got := received(t, q); !slices.Equal(got, want) {
		t.Errorf("on the queue: %q, want %q", got, want)
	}
}

// An op that finds what another of its group has just written answers so, and its
// caller reads at once: by then the other's write must be there to read.
func TestNothingIsAnsweredOfAWriteThatIsNotDone(t *testing.T) {
	db := open(t, Config{})
	release := hold(t, db)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			err := db.CreateAccount(t.Context(), relay.Account{ID: "acct_1", Name: "one", CreatedAt: time.Now()})
			if err != nil && !errors.Is(err, relay.ErrExists) {
				t.Error(err)
			}
			if _, err := db.AccountByName(t.Context(), "one"); err != nil {
				t.Errorf("after the answer: %v", err)
			}
		})
	}
	waiting(t, db, 7)
	release()
	wg.Wait()
}

func TestACancelledOpIsNotRun(t *testing.T) {
	db := open(t, Config{})
	q := db.Queue("events")
	release := hold(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- q.Send(ctx, message("never")) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	release()
	if got := received(t, q); len(got) > 0 {
		t.Errorf("on the queue: %q", got)
	}
}

// A write that needs no sync is answered while one is under way, and a durable one
// is not answered before its own has ended.
func TestOnlyWhatMayBeForgottenIsNotSynced(t *testing.T) {
	db := open(t, Config{})
	begun, end := make(chan struct{}), make(chan struct{})
	sync := db.w.syncLog
	db.w.syncLog = func() error {
		begun <- struct{}{}
		<-end
		return sync()
	}
	nothing := func(*conn) error { return nil }
	durable := make(chan error, 2)
	go func() { durable <- db.w.do(t.Context(), nothing) }()
	<-begun
	if err := db.w.relaxed(t.Context(), nothing); err != nil {
		t.Fatal(err)
	}
	go func() { durable <- db.w.first(t.Context(), nothing) }()
	for db.w.writes.Load() < 3 { // the second is committed, beside the sync
		if err := db.w.relaxed(t.Context(), nothing); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-durable:
		t.Error("a durable write was answered before it was synced")
	default:
	}
	end <- struct{}{}
	if err := <-durable; err != nil {
		t.Fatal(err)
	}
	<-begun // what was committed after the first sync began has one of its own
	end <- struct{}{}
	if err := <-durable; err != nil {
		t.Fatal(err)
	}
	if got := db.w.synced.Load(); got != 2 {
		t.Errorf("%d syncs, want 2", got)
	}
}

func TestEveryWriteThatIsPromisedIsSynced(t *testing.T) {
	db := open(t, Config{})
	q := db.Queue("events")
	ctx, now := t.Context(), relay.Millis(time.Now())
	if err := q.Send(ctx, message("a"), message("b")); err != nil {
		t.Fatal(err)
	}
	var msgs []relay.Received
	ev := relay.Event{ID: "evt_1", Account: "acct_1", CreatedAt: now}
	delivery := relay.Delivery{EndpointID: "whend_1", Status: relay.DeliveryPending, NextAttemptAt: now}
	tests := []struct {
		name   string
		synced bool
		write  func() error
	}{
		{"receive", false, func() (err error) { msgs, err = q.Receive(ctx, 2, 0, time.Hour); return err }},
		{"send", true, func() error { return q.Send(ctx, message("c")) }},
		{"hide", false, func() error { return q.Hide(ctx, msgs[0], time.Hour) }},
		{"bury", true, func() error { return q.Bury(ctx, msgs[0], "bad") }},
		{"delete", false, func() error { return q.Delete(ctx, msgs...) }},
		{"redrive", true, func() error { return q.Redrive(ctx, relay.DeadLetter{ID: "1", Receipt: "1"}) }},
		{"purge", false, func() error { _, err := db.purge(ctx); return err }},
		{"put event", false, func() error { _, err := db.PutEvent(ctx, relay.EventRecord{Event: ev}); return err }},
		{"purge", false, func() error { _, err := db.purge(ctx); return err }},
		{"list event", false, func() error { return db.ListEvent(ctx, ev, []relay.Delivery{delivery}) }},
		{"purge", false, func() error { _, err := db.purge(ctx); return err }},
		{"save delivery", false, func() error { return db.SaveDelivery(ctx, ev.Ref(), delivery) }},
		{"purge", false, func() error { _, err := db.purge(ctx); return err }},
		{"record attempt", true, func() error { _, err := db.RecordAttempt(ctx, relay.Attempt{ID: "att_1", CreatedAt: now}); return err }},
		{"purge", false, func() error { _, err := db.purge(ctx); return err }},
		{"start run", true, func() error { _, err := db.StartRun(ctx, "acct_1", "evt_1", "whend_1", "t", now); return err }},
		{"purge", false, func() error { _, err := db.purge(ctx); return err }},
		{"create key", true, func() error { return db.CreateKey(ctx, relay.Key{ID: "key_1", Account: "acct_1"}, 1) }},
		{"purge", false, func() error { _, err := db.purge(ctx); return err }},
		{"revoke key", true, func() error { _, err := db.RevokeKey(ctx, "acct_1", "key_1", now, ""); return err }},
		{"purge", false, func() error { _, err := db.purge(ctx); return err }},
		{"put idempotency", true, func() error {
			_, err := db.PutIdempotency(ctx, relay.Idempotency{Account: "acct_1", ExpiresAt: now.Add(time.Hour)})
			return err
		}},
	}
	for _, tt := range tests {
		before := db.w.synced.Load()
		if err := tt.write(); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if synced := db.w.synced.Load() > before; synced != tt.synced {
			t.Errorf("%s: synced %v, want %v", tt.name, synced, tt.synced)
		}
	}
}

// Of what was committed before a sync failed nothing is acknowledged, also if a
// later sync succeeds. Then the log is copied, and all is well again.
func TestAFailedSyncIsMadeGoodBeforeTheNextWrite(t *testing.T) {
	db := open(t, Config{})
	q := db.Queue("events")
	if err := q.Send(t.Context(), message("one")); err != nil {
		t.Fatal(err)
	}
	begun, fail, sync := make(chan struct{}), make(chan error), db.w.syncLog
	db.w.syncLog = func() error { close(begun); return <-fail }
	lost := make(chan error, 2)
	go func() { lost <- q.Send(t.Context(), message("lost")) }()
	<-begun
	db.w.syncLog = sync
	writes := db.w.writes.Load()
	go func() { lost <- q.Send(t.Context(), message("lost too")) }()
	for db.w.writes.Load() == writes { // it is committed behind the sync that fails
		if err := db.w.relaxed(t.Context(), func(*conn) error { writes++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	fail <- errors.New("the disk is gone")
	for range 2 {
		if err := <-lost; err == nil {
			t.Error("a message was acknowledged whose sync failed, or came before it was made good")
		}
	}
	if err := q.Send(t.Context(), message("two")); err != nil {
		t.Fatal(err)
	}
	if size := logOf(t, strings.TrimSuffix(db.w.logPath, "-wal")); db.w.resync.Load() || size > 100_000 {
		t.Errorf("the log was not copied: %d bytes", size)
	}
	if got := received(t, q); !slices.Contains(got, "one") || !slices.Contains(got, "two") {
		t.Errorf("on the queue: %q", got)
	}
}

func TestCloseWaitsForWhatIsPending(t *testing.T) {
	path := t.TempDir() + "/hookferry.db"
	db, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	release := hold(t, db)
	sent := make(chan error)
	const n = 50
	for i := range n {
		go func() { sent <- db.Queue("events").Send(t.Context(), message(fmt.Sprintf("%02d", i))) }()
	}
	waiting(t, db, n-1)
	closed := make(chan error)
	go func() { closed <- db.Close() }()
	release()
	acknowledged := 0
	for range n {
		if err := <-sent; err == nil {
			acknowledged++
		} else if !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if acknowledged < n-1 {
		t.Errorf("%d of %d pending sends were carried out", acknowledged, n)
	}
	if err := db.Queue("events").Send(t.Context(), message("late")); !errors.Is(err, ErrClosed) {
		t.Errorf("send after close: got %v, want %v", err, ErrClosed)
	}
	if _, err := db.AccountByName(t.Context(), "x"); !errors.Is(err, ErrClosed) {
		t.Errorf("read after close: got %v, want %v", err, ErrClosed)
	}
	if got := len(received(t, open(t, Config{Path: path}).Queue("events"))); got != acknowledged {
		t.Errorf("received %d messages, want %d", got, acknowledged)
	}
}
