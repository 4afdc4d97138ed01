// Package sqlite keeps both ports of the domain, relay.Store and relay.Queue,
// in one SQLite file, for a relay on one machine.
//
// # Durability
//
// The file is in WAL mode. A write that is promised is on the disk when its call
// returns nil, and survives a power cut. All writes of a process go through one
// goroutine, which puts everything that waits into one transaction and commits once;
// another one syncs the log behind it, so that many accepts share one sync and the
// next transaction does not wait for it. What may be forgotten together with all
// that follows from it is committed without waiting for a sync: that a message was
// received, hidden or deleted, which the Queue port may forget, and what its handling
// wrote before it was deleted; see writer.relaxed.
//
// Another process may work on the file at the same time, as hookferry keys
// does; it waits its turn to write for up to 10 seconds. Exclusive keeps a
// second relay from it.
//
// A full disk is an ordinary error of the call that met it; the next call
// tries again. A file that turns out to be damaged while it is in use is no
// longer written to: every later write returns ErrDamaged.
//
// # The queue
//
// The queues are tables of this package rather than goqite: that one has no
// receive of several messages, no dead-letter queue and no clock to inject,
// and its writes could not join the group commit.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"hookferry/shared/bounds"
	"hookferry/shared/relay"
)

// Errors of Open, besides those of the file system.
var (
	// ErrNewer: the file was written by a newer version of the program.
	ErrNewer = errors.New("the data file is from a newer version of hookferry")
	// ErrDamaged: the file is damaged, or no data file of ours. It has been
	// left as it was.
	ErrDamaged = errors.New("the data file is damaged")
	// ErrInUse: another relay has the file open.
	ErrInUse = errors.New("the data file is in use by another hookferry")
)

// DefaultRetention is how long events and attempts are kept when Config says
// nothing.
const DefaultRetention = 30 * 24 * time.Hour

const busyTimeout = 10 * time.Second

// Config says which file to open and how.
type Config struct {
	// Path of the file. It is made, mode 0600, when it is not there, with its
	// folder. SQLite keeps up to two more files next to it, ending in -wal and
	// -shm, which belong to it; Exclusive, one ending in .lock.
	Path string
	// Retention is how long events, attempts and what hangs on them are kept
	// and shown; 0 means DefaultRetention.
	Retention time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Exclusive is for the one process that works on the queues: it refuses to
	// open a file that another has opened so, makes messages that were in
	// flight visible at once and ends the claims on events, because whoever had
	// them is gone; and it deletes what has expired, in the background.
	Exclusive bool
	// Log takes a line when something outside keeps the file's log from being
	// bounded; nil: none.
	Log *slog.Logger
}

// DB is an open data file. It implements relay.Store; Queue gives the lanes. It
// is safe for concurrent use.
type DB struct {
	now       func() time.Time
	steady    *steadyClock // of the queues
	retention time.Duration
	epoch     int64 // of claims on events, see schema.sql
	log       *slog.Logger

	w       *writer
	readers chan *conn
	lock    *fileLock            // nil unless exclusive
	open    map[string]openCount // of expectations by source; the writer's

	mu    sync.Mutex
	lanes map[string]*lane

	closing func() // ends what runs in the background
	running sync.WaitGroup
	once    sync.Once
	closed  error
}

var _ relay.Store = (*DB)(nil)

// Open opens or creates the file. It checks the file before it writes anything:
// ErrDamaged, ErrNewer and ErrInUse leave it as it was. The check reads the
// whole file, for 10 seconds at most.
func Open(ctx context.Context, cfg Config) (_ *DB, err error) {
	db := &DB{now: cfg.Now, retention: cfg.Retention, log: cfg.Log, lanes: map[string]*lane{}, open: map[string]openCount{}}
	if db.now == nil {
		db.now = time.Now
	}
	db.steady = newSteadyClock(db.now)
	if db.retention == 0 {
		db.retention = DefaultRetention
	}
	if err := os.MkdirAll(filepath.Dir(cfg.Path), 0o700); err != nil {
		return nil, fmt.Errorf("folder of the data file: %w", err)
	}
	if cfg.Exclusive {
		if db.lock, err = lockFile(cfg.Path + ".lock"); err != nil {
			return nil, fmt.Errorf("open %s: %w", cfg.Path, err)
		}
	}
	defer func() {
		if err != nil {
			db.lock.release()
		}
	}()
	if err := prepare(ctx, cfg.Path, cfg.Exclusive); err != nil {
		return nil, fmt.Errorf("open %s: %w", cfg.Path, err)
	}
	if err := db.connect(cfg.Path); err != nil {
		return nil, fmt.Errorf("open %s: %w", cfg.Path, err)
	}
	if err := db.takeOver(ctx, cfg.Exclusive); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", cfg.Path, err), db.Close())
	}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	db.closing = cancel
	if cfg.Exclusive {
		db.running.Go(func() { db.purgeLoop(background) })
	}
	return db, nil
}

// connect opens the connections: one that writes, and a few that read, which
// in WAL mode neither wait for it nor hold it up.
func (db *DB) connect(path string) error {
	busy := fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds())
	w, err := openConn(path, "mode=rw", busy, "cache_size(-12000)", "temp_store(MEMORY)")
	if err != nil {
		return err
	}
	pages, err := setModes(w)
	if err != nil {
		return errors.Join(err, w.close())
	}
	// What a reader let the log grow to is given back at its next beginning. And
	// waiting is the writer's own, see writer.patiently.
	if err := w.run(fmt.Sprintf("PRAGMA wal_autocheckpoint = %d; PRAGMA journal_size_limit = %d; PRAGMA busy_timeout = 0",
		pages, logSize)); err != nil {
		return errors.Join(err, w.close())
	}
	readers := max(2, min(bounds.MaxReaders, runtime.GOMAXPROCS(0)))
	db.readers = make(chan *conn, readers)
	for range readers {
		r, err := openConn(path, "mode=rw", busy, "query_only(1)", "cache_size(-3000)", "temp_store(MEMORY)")
		if err != nil {
			close(db.readers)
			for r := range db.readers {
				r.close()
			}
			w.close()
			return err
		}
		db.readers <- r
	}
	if db.w, err = newWriter(w, path, db.log); err != nil {
		return errors.Join(err, db.closeReaders(), w.close())
	}
	return nil
}

// takeOver reads the epoch of claims; exclusively, it begins a new one and
// makes the messages visible that the last process had in hand.
func (db *DB) takeOver(ctx context.Context, exclusive bool) error {
	if !exclusive {
		return db.read(ctx, func(c *conn) (err error) {
			db.epoch, err = c.number("SELECT value FROM meta WHERE name = 'epoch'")
			return err
		})
	}
	return db.w.do(ctx, func(c *conn) error {
		if _, err := c.exec("UPDATE meta SET value = value + 1 WHERE name = 'epoch'"); err != nil {
			return err
		}
		if err := settleClock(c, db.steady.now()); err != nil {
			return err
		}
		now := millis(db.steady.now())
		if _, err := c.exec(`UPDATE messages SET in_flight = 0, visible_at = min(visible_at, ?), receipt = 0
			WHERE in_flight = 1`, now); err != nil {
			return err
		}
		var err error
		db.epoch, err = c.number("SELECT value FROM meta WHERE name = 'epoch'")
		return err
	})
}

// read runs fn on a connection for reading, as of now: every write that has
// returned is seen. Statements of one call do not see one moment.
func (db *DB) read(ctx context.Context, fn func(*conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case c, ok := <-db.readers:
		if !ok {
			return ErrClosed
		}
		defer func() { db.readers <- c }()
		if err := fn(c); damaged(err) {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		} else {
			return err
		}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// snapshot is read with all statements of fn seeing one moment.
func (db *DB) snapshot(ctx context.Context, fn func(*conn) error) error {
	return db.read(ctx, func(c *conn) error {
		if _, err := c.exec("BEGIN"); err != nil {
			return err
		}
		err := fn(c)
		_, end := c.exec("ROLLBACK") // nothing was written
		return errors.Join(err, end)
	})
}

// Close waits for the calls that are pending, copies the log into the file and
// closes it. Later calls return ErrClosed; closing again changes nothing.
func (db *DB) Close() error {
	db.once.Do(func() {
		if db.closing != nil {
			db.closing()
		}
		db.running.Wait()
		if db.lock != nil { // for want of it, the next start takes what is a minute old
			_ = db.w.relaxed(context.Background(), func(c *conn) error { return noteClock(c, db.steady.now()) })
		}
		db.w.close()
		errs := []error{db.closeReaders()}
		if db.w.broken == nil {
			// It fails when another process reads or the disk is full; the log
			// stays then, and is part of the data.
			_ = db.w.checkpoint(time.Second)
		}
		errs = append(errs, db.w.logFile.Close(), db.w.c.close())
		db.lock.release()
		db.closed = errors.Join(errs...)
	})
	return db.closed
}

// closeReaders waits for those that read.
func (db *DB) closeReaders() error {
	var errs []error
	for range cap(db.readers) {
		errs = append(errs, (<-db.readers).close())
	}
	close(db.readers)
	return errors.Join(errs...)
}

// cutoff is the time before which what was made has expired.
func (db *DB) cutoff() int64 { return millis(db.now().Add(-db.retention)) }

// wrap adds to an error what was being done.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
