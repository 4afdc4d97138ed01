package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	codes "modernc.org/sqlite/lib"
)

// maxGroup is the most writes that share a transaction; it bounds how long the
// first one waits for the others.
const maxGroup = 512

// ErrClosed is returned for every call after Close.
var ErrClosed = errors.New("the data file is closed")

// writer is the one goroutine of the process that writes: it takes what is
// waiting, runs it in one transaction and commits once. A second goroutine makes
// what was committed durable, while the first goes on with the next transaction: it
// syncs the log, and answers everything that was committed before the sync began.
// So the cost of a sync is shared by all that came while the last one ran, and a
// write that needs none waits for none.
//
// SQLite itself syncs the log only before it copies it (synchronous NORMAL): what is
// in the file is always in the log first.
type writer struct {
	c      *conn
	mu     sync.RWMutex // held while sending on ops and urgent, so that close can end them
	closed bool
	ops    chan *op
	urgent chan *op // taken before those in ops
	done   chan struct{}

	behind struct {
		sync.Mutex
		ops   []*op // that join the next group
		timer *time.Timer
	}

	// syncLog makes the log durable, as far as it is written.
	syncLog  func() error
	syncs    chan []*op // committed, to be answered once they are durable
	unsynced sync.WaitGroup
	// resync is set when a sync failed: what earlier commits left to it may be
	// missing from the log then, and nothing after it counts until the log has
	// been copied whole.
	resync atomic.Bool
	broken error // set for good once the file is found damaged
	busy   int   // writes of the last group

	logPath string // of the write-ahead log; see trim
	logFile *os.File
	log     *slog.Logger
	trimmed time.Time // when it was last tried
	said    int64     // the log's size in the last line about it

	commits, writes, synced atomic.Int64
}

// op is one write. run is called in the transaction, and perhaps again when
// another op undid it, so it must set its results anew each time.
type op struct {
	run     func(*conn) error
	durable bool
	state   atomic.Int32
	err     error
	done    chan error // nil: nobody waits for it
}

func (o *op) answer(err error) {
	if o.done != nil {
		o.done <- err
	}
}

// The states of an op: once taken it is carried through, whatever its context.
const (
	opWaiting int32 = iota
	opTaken
	opCancelled
)

// newWriter returns the writer of the file at path. Log takes a line when its log
// grows without end; nil: none.
func newWriter(c *conn, path string, log *slog.Logger) (*writer, error) {
	w := &writer{c: c, logPath: path + "-wal", log: log}
	err := c.run("PRAGMA synchronous = NORMAL")
	if err == nil { // the log is there once the file has been read, and stays while it is open
		_, err = c.number("SELECT count(*) FROM meta")
	}
	if err != nil {
		return nil, err
	}
	if w.logFile, err = os.OpenFile(w.logPath, os.O_RDWR, 0); err != nil {
		return nil, fmt.Errorf("the log of the data file: %w", err)
	}
	w.start(func() error { return syncData(w.logFile) })
	return w, nil
}

// start begins the work of a writer that has its connection.
func (w *writer) start(syncLog func() error) {
	w.syncLog = syncLog
	w.ops, w.urgent = make(chan *op, maxGroup), make(chan *op, maxGroup)
	w.syncs, w.done = make(chan []*op, 16), make(chan struct{})
	go w.syncLoop()
	go w.loop()
}

// do runs fn in a transaction and returns when that is durable. If ctx ends
// before its turn, it is not run; once begun it is waited for. An error of fn
// undoes what it wrote and nothing else.
func (w *writer) do(ctx context.Context, fn func(*conn) error) error {
	return w.submit(ctx, &op{run: fn, durable: true})
}

// first is do for what should wait for as little as can be: its turn comes before
// that of all other writes.
func (w *writer) first(ctx context.Context, fn func(*conn) error) error {
	return w.submitTo(ctx, w.urgent, &op{run: fn, durable: true})
}

// relaxed is do without the sync: after a power cut, but not after a crash of
// the process, the write may be undone, as if it had not been made. Later
// durable writes never survive without it, since the log is one sequence.
//
// It is for what may be forgotten together with all that follows from it. The Queue
// port does not promise to keep that a message was received, hidden or deleted.
// And what the handling of a message writes into the store comes before the
// message's deletion in the log: if it is undone the message is there again, and
// is handled again.
func (w *writer) relaxed(ctx context.Context, fn func(*conn) error) error {
	return w.submit(ctx, &op{run: fn})
}

// later runs fn with the next write, or alone when none comes for a moment. Nobody
// learns what came of it: a crash before it, or an error, is as if it had not been
// asked for.
func (w *writer) later(fn func(*conn) error) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return ErrClosed
	}
	w.behind.Lock()
	defer w.behind.Unlock()
	w.behind.ops = append(w.behind.ops, &op{run: fn})
	if w.behind.timer == nil {
		w.behind.timer = time.AfterFunc(laterAfter, func() {
			w.behind.Lock()
			w.behind.timer = nil
			some := len(w.behind.ops) > 0
			w.behind.Unlock()
			if some {
				_ = w.relaxed(context.Background(), func(*conn) error { return nil })
			}
		})
	}
	return nil
}

// laterAfter is how long what is left for later waits for another write.
const laterAfter = 20 * time.Millisecond

// takeBehind returns what was left for later.
func (w *writer) takeBehind() []*op {
	w.behind.Lock()
	defer w.behind.Unlock()
	ops := w.behind.ops
	w.behind.ops = nil
	return ops
}

func (w *writer) submit(ctx context.Context, o *op) error { return w.submitTo(ctx, w.ops, o) }

func (w *writer) submitTo(ctx context.Context, ops chan *op, o *op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o.done = make(chan error, 1)
	w.mu.RLock()
	if w.closed {
		w.mu.RUnlock()
		return ErrClosed
	}
	select {
	case ops <- o:
		w.mu.RUnlock()
	case <-ctx.Done():
		w.mu.RUnlock()
		return ctx.Err()
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		if o.state.CompareAndSwap(opWaiting, opCancelled) {
			return ctx.Err()
		}
		return <-o.done
	}
}

// close waits for what is pending.
func (w *writer) close() {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.ops)
		close(w.urgent)
	}
	w.mu.Unlock()
	<-w.done
}

func (w *writer) begin() error {
	if w.broken != nil {
		return w.broken
	}
	if w.resync.Load() {
		w.unsynced.Wait() // until all that it concerns has been answered
		if err := w.checkpoint(time.Second); err != nil {
			return fmt.Errorf("after a failed sync: %w", err)
		}
		w.resync.Store(false)
	}
	return w.lock()
}

// lock begins a transaction when no other process has one.
func (w *writer) lock() error { return w.patiently("begin", "BEGIN IMMEDIATE") }

func (w *writer) commit() error {
	if err := w.patiently("commit", "COMMIT"); err != nil {
		w.rollback()
		return err
	}
	w.commits.Add(1)
	return nil
}

// patiently runs a statement that another user of the file can hold up, until it
// is through or that has lasted for busyTimeout. SQLite's own waiting sleeps for up
// to 100 ms between looks, and so hardly ever meets the short gap between two
// groups of a relay at work. A COMMIT that is held up leaves its transaction open.
func (w *writer) patiently(what, statement string) error {
	for since := time.Now(); ; time.Sleep(200*time.Microsecond + rand.N(600*time.Microsecond)) {
		_, err := w.c.exec(statement)
		if code(err)&0xff != codes.SQLITE_BUSY {
			return err
		}
		if waited := time.Since(since); waited >= busyTimeout {
			return &busyError{what, waited.Round(time.Second), err}
		}
	}
}

// A busyError says that others held the file for as long as this process waits.
type busyError struct {
	what   string // begin or commit
	waited time.Duration
	err    error
}

// Error says who can have held it: only a writer keeps others from beginning.
func (e *busyError) Error() string {
	if e.what == "begin" {
		return fmt.Sprintf("another process has been writing to the data file for %v: %v", e.waited, e.err)
	}
	return fmt.Sprintf("the data file has been locked by its readers or another process for %v, and nothing could be committed: %v", e.waited, e.err)
}

// Unwrap returns SQLite's own error.
func (e *busyError) Unwrap() error { return e.err }

// rollback's error says nothing that is not known: SQLite has rolled back by
// itself then, because the disk was full or failed.
func (w *writer) rollback() { _, _ = w.c.exec("ROLLBACK") }

// checkpoint copies the log into the file and empties it, unless others read it
// for all of the patience.
func (w *writer) checkpoint(patience time.Duration) error {
	for until := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		busy := int64(0)
		if err := w.c.each("PRAGMA wal_checkpoint(TRUNCATE)", func(r row) error { busy = r.int(0); return nil }); err != nil {
			return err
		}
		if busy == 0 {
			return nil
		}
		if time.Now().After(until) {
			return errors.New("the log cannot be copied while another process reads it")
		}
	}
}

// failed notes what an error means for what follows, and says what it means to
// the operator.
func (w *writer) failed(err error) error {
	switch {
	case w.broken != nil:
		return w.broken
	case damaged(err):
		// Nothing is written to a file that is known to be damaged.
		w.broken = fmt.Errorf("%w: %w", ErrDamaged, err)
		return w.broken
	case code(err) == codes.SQLITE_IOERR_FSYNC, code(err) == codes.SQLITE_IOERR_DIR_FSYNC:
		w.resync.Store(true)
	case code(err)&0xff == codes.SQLITE_FULL:
		// Copying the log lets it begin anew in the room that it takes up already.
		// That comes after the write that failed and not before the next one: what
		// has become free meanwhile is for writes first, and half a copy would use
		// it up for nothing.
		_ = w.c.each("PRAGMA wal_checkpoint(PASSIVE)", func(row) error { return nil })
		return fmt.Errorf("no room for the data file: %w", err)
	}
	return err
}
