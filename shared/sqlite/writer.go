package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
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
// waiting, runs it in one transaction, commits once, and answers all. So the
// cost of a sync is shared by everything that came while the last one ran.
type writer struct {
	c      *conn
	mu     sync.RWMutex // held while sending on ops, so that close can end it
	closed bool
	ops    chan *op
	done   chan struct{}

	// held came while a group that needs no sync was running, and does.
	held *op
	full bool // what synchronous is set to
	// resync is set when a sync failed: what earlier commits left to it may be
	// missing from the log then, and nothing after it counts until the log has
	// been copied whole.
	resync bool
	broken error // set for good once the file is found damaged

	logPath string // of the write-ahead log; see trim
	log     *slog.Logger
	trimmed time.Time // when it was last tried
	said    int64     // the log's size in the last line about it

	commits, writes atomic.Int64
}

// op is one write. run is called in the transaction, and perhaps again when
// another op undid it, so it must set its results anew each time.
type op struct {
	run     func(*conn) error
	durable bool
	state   atomic.Int32
	err     error
	done    chan error
}

// The states of an op: once taken it is carried through, whatever its context.
const (
	opWaiting int32 = iota
	opTaken
	opCancelled
)

// newWriter returns the writer of the file at path. Log takes a line when its log
// grows without end; nil: none.
func newWriter(c *conn, path string, log *slog.Logger) *writer {
	w := &writer{
		c: c, ops: make(chan *op, maxGroup), done: make(chan struct{}), full: true,
		logPath: path + "-wal", log: log,
	}
	go w.loop()
	return w
}

// do runs fn in a transaction and returns when that is durable. If ctx ends
// before its turn, it is not run; once begun it is waited for. An error of fn
// undoes what it wrote and nothing else.
func (w *writer) do(ctx context.Context, fn func(*conn) error) error {
	return w.submit(ctx, &op{run: fn, durable: true})
}

// relaxed is do without the sync: after a power cut, but not after a crash of
// the process, the write may be undone, as if it had not been made. Later
// durable writes never survive without it, since the log is one sequence.
//
// It is for what the Queue port does not promise to keep: that a message was
// received, hidden or deleted. Undone, the message is received again.
func (w *writer) relaxed(ctx context.Context, fn func(*conn) error) error {
	return w.submit(ctx, &op{run: fn})
}

func (w *writer) submit(ctx context.Context, o *op) error {
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
	case w.ops <- o:
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
	}
	w.mu.Unlock()
	<-w.done
}

func (w *writer) loop() {
	defer close(w.done)
	for {
		first := w.held
		w.held = nil
		if first == nil {
			var ok bool
			if first, ok = <-w.ops; !ok {
				return
			}
		}
		w.group(first)
	}
}

// next returns an op that waits, if one does and may join a group.
func (w *writer) next(durable bool) *op {
	if w.held != nil {
		return nil
	}
	select {
	case o, ok := <-w.ops:
		if !ok {
			return nil
		}
		if o.durable && !durable {
			w.held = o
			return nil
		}
		return o
	default:
		return nil
	}
}

// group runs first and what waits behind it in one transaction.
func (w *writer) group(first *op) {
	group := []*op{first}
	durable := first.durable
	for len(group) < maxGroup {
		o := w.next(true)
		if o == nil {
			break
		}
		group = append(group, o)
		durable = durable || o.durable
	}
	if err := w.begin(durable); err != nil {
		w.answer(group, w.failed(err))
		return
	}
	var ran []*op
	for i := 0; i < len(group); i++ {
		o := group[i]
		if o.state.CompareAndSwap(opWaiting, opTaken) {
			w.c.wrote = false
			o.err = o.run(w.c)
			ran = append(ran, o)
			if o.err != nil && (w.c.wrote || code(o.err) != 0) {
				w.undo(ran, group[i+1:])
				return
			}
		}
		if i == len(group)-1 && len(group) < maxGroup {
			if o := w.next(durable); o != nil {
				group = append(group, o)
			}
		}
	}
	if err := w.commit(); err != nil {
		w.answer(ran, w.failed(err))
		return
	}
	w.writes.Add(int64(len(ran)))
	for _, o := range ran {
		o.done <- o.err
	}
	w.trim()
}

// undo is for a group whose last op that ran failed with part of its work done:
// all are run again in their order, each in a transaction of its own, that one
// too, for what it met may be the work of another in the group that is undone
// with it. When the file or the disk is what failed, all of them fail.
//
// A savepoint for each op would do the same; this costs nothing until it is
// needed, which is next to never.
func (w *writer) undo(ran, rest []*op) {
	bad := ran[len(ran)-1]
	w.rollback()
	switch code(bad.err) & 0xff {
	case codes.SQLITE_FULL, codes.SQLITE_IOERR, codes.SQLITE_CORRUPT, codes.SQLITE_NOTADB, codes.SQLITE_NOMEM,
		codes.SQLITE_READONLY, codes.SQLITE_CANTOPEN, codes.SQLITE_BUSY:
		w.answer(append(ran, rest...), w.failed(bad.err))
		return
	}
	if len(ran) == 1 { // it met only what was there before
		bad.done <- bad.err
		ran = nil
	}
	for _, o := range append(ran, rest...) {
		w.alone(o)
	}
}

func (w *writer) alone(o *op) {
	if !o.state.CompareAndSwap(opWaiting, opTaken) && o.state.Load() == opCancelled {
		return
	}
	err := w.begin(o.durable)
	if err == nil {
		if err = o.run(w.c); err != nil {
			w.rollback()
		} else {
			err = w.commit()
		}
	}
	if err == nil {
		w.writes.Add(1)
	} else {
		err = w.failed(err)
	}
	o.done <- err
}

func (w *writer) answer(group []*op, err error) {
	for _, o := range group {
		if o.state.CompareAndSwap(opWaiting, opTaken) || o.state.Load() == opTaken {
			o.done <- err
		}
	}
}

func (w *writer) begin(durable bool) error {
	if w.broken != nil {
		return w.broken
	}
	if w.resync {
		if err := w.checkpoint(time.Second); err != nil {
			return fmt.Errorf("after a failed sync: %w", err)
		}
		w.resync = false
	}
	if durable != w.full {
		level := "PRAGMA synchronous = NORMAL"
		if durable {
			level = "PRAGMA synchronous = FULL"
		}
		if err := w.c.run(level); err != nil {
			return err
		}
		w.full = durable
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
		w.resync = true
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
