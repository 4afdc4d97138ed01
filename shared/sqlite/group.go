package sqlite

import (
	"errors"
	"fmt"
	"time"

	codes "modernc.org/sqlite/lib"
)

// A group that follows on one of busyGroup writes waits for others to join it, for
// gather: a commit costs several pages of the log, however few it has changed. Where
// there is little to write nothing is waited for.
const (
	busyGroup = 4
	gather    = 300 * time.Microsecond
)

func (w *writer) loop() {
	for {
		o, ok := w.wait()
		if !ok {
			break
		}
		w.group(o)
	}
	w.group(nil) // what was left for later
	close(w.syncs)
}

// wait returns the op whose turn it is, once there is one.
func (w *writer) wait() (o *op, ok bool) {
	select {
	case o, ok = <-w.urgent:
		if ok {
			return o, true
		}
	default:
	}
	select {
	case o, ok = <-w.urgent:
	case o, ok = <-w.ops:
	}
	if ok {
		return o, true
	}
	// Closed, one of them; what the other still has is carried out.
	if o, ok = <-w.urgent; ok {
		return o, true
	}
	o, ok = <-w.ops
	return o, ok
}

// next returns an op that waits, or nil.
func (w *writer) next() *op {
	select {
	case o := <-w.urgent: // nil when closed
		if o != nil {
			return o
		}
	default:
	}
	select {
	case o := <-w.ops:
		return o
	default:
		return nil
	}
}

// group runs first and what waits behind it in one transaction.
func (w *writer) group(first *op) {
	group := w.takeBehind()
	if first != nil {
		group = append(group, first)
	}
	if len(group) == 0 {
		return
	}
	if w.busy >= busyGroup {
		time.Sleep(gather)
	}
	if err := w.begin(); err != nil {
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
			if o := w.next(); o != nil {
				// What was left for later before it was asked for comes before it.
				group = append(append(group, w.takeBehind()...), o)
			}
		}
	}
	if err := w.commit(); err != nil {
		w.answer(ran, w.failed(err))
		return
	}
	w.busy = len(ran)
	w.writes.Add(int64(len(ran)))
	w.committed(ran)
	w.trim()
}

// committed answers what needs no sync, and leaves the rest to the one that syncs.
func (w *writer) committed(ran []*op) {
	var durable []*op
	for _, o := range ran {
		if o.durable {
			durable = append(durable, o)
		} else {
			o.answer(o.err)
		}
	}
	if len(durable) > 0 {
		w.unsynced.Add(1)
		w.syncs <- durable
	}
}

// syncLoop makes durable what was committed, and answers it.
func (w *writer) syncLoop() {
	defer close(w.done)
	for batch := range w.syncs {
		n := 1
		for more := true; more; {
			select {
			case next, ok := <-w.syncs:
				if more = ok; ok {
					batch = append(batch, next...)
					n++
				}
			default:
				more = false
			}
		}
		// After a sync that failed the next one may succeed without what that one
		// lost, so it says nothing until the log has been copied.
		err := errors.New("an earlier write could not be synced")
		if !w.resync.Load() {
			w.synced.Add(1)
			if err = w.syncLog(); err != nil {
				w.resync.Store(true)
			}
		}
		for _, o := range batch {
			if err != nil {
				o.answer(fmt.Errorf("sync the log of the data file: %w", err))
			} else {
				o.answer(o.err)
			}
		}
		w.unsynced.Add(-n)
	}
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
		bad.answer(bad.err)
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
	err := w.begin()
	if err == nil {
		if err = o.run(w.c); err != nil {
			w.rollback()
		} else {
			err = w.commit()
		}
	}
	if o.err = err; err != nil {
		o.answer(w.failed(err))
		return
	}
	w.writes.Add(1)
	w.committed([]*op{o})
}

func (w *writer) answer(group []*op, err error) {
	for _, o := range group {
		if o.state.CompareAndSwap(opWaiting, opTaken) || o.state.Load() == opTaken {
			o.answer(err)
		}
	}
}
