package dynamo

import (
	"context"
	"fmt"
	"time"

	"hookferry/shared/relay"
)

// An attempt that did not succeed has a copy on a list of its own, so that the
// lists by status and replays need not look at all the others. The sort key is
// the attempt's ID, which begins with the time it was due.
const (
	attemptList    = "D#"
	badAttemptList = "B#"
)

func (s *Store) attemptKey(list, endpoint, id string) key {
	return key{sharded(list, endpoint, s.shardOf(id)), id}
}

func bad(st relay.AttemptStatus) bool { return st != relay.AttemptSucceeded }

// snippetDeflates is the length from which deflating a snippet pays: most long
// ones are HTML, and two units of the attempt and its copy depend on it.
const snippetDeflates = 200

func (s *Store) attemptItem(k key, a relay.Attempt) item {
	it := newItem(k)
	it.setString("a", a.Account)
	it.setString("e", a.EventID)
	it.setString("t", a.EventType)
	it.setString("i", a.EndpointID)
	it.setInt("u", int64(a.Run))
	it.setInt("n", int64(a.Number))
	it.setString("s", string(a.Status))
	it.setBool("f", a.Final)
	it.setInt("h", int64(a.HTTPStatus))
	it.setID("r", a.RequestID)
	it.setInt("d", int64(a.Duration))
	if raw := relay.NewPayload([]byte(a.Snippet)).Deflated(); len(a.Snippet) >= snippetDeflates && len(raw) < len(a.Snippet) {
		it.setBytes("g", raw)
	} else {
		it.setString("g", a.Snippet)
	}
	it.setString("o", string(a.ErrorCode))
	it.setString("y", a.ErrorMessage)
	it.setTime("q", a.DueAt)
	it.setTime("c", a.CreatedAt)
	it.setTime("z", a.NextAttemptAt)
	it.setString("m", a.MID)
	it.setTime("l", a.EventCreatedAt)
	it.setString("ur", a.URL)
	it.setString("sg", a.Signatures)
	it.setExpiry(a.CreatedAt.Add(s.retention))
	return it
}

func attemptOf(it item) (relay.Attempt, error) {
	a := relay.Attempt{
		ID: it.string("sk"), Account: it.string("a"), EventID: it.string("e"), EventType: it.string("t"),
		EndpointID: it.string("i"), Run: int(it.int("u")), Number: int(it.int("n")),
		Status: relay.AttemptStatus(it.string("s")), Final: it.bool("f"), HTTPStatus: int(it.int("h")),
		RequestID: it.id("r"), Duration: time.Duration(it.int("d")), Snippet: it.string("g"),
		ErrorCode: relay.ErrorCode(it.string("o")), ErrorMessage: it.string("y"),
		DueAt: it.time("q"), CreatedAt: it.time("c"), NextAttemptAt: it.time("z"),
		MID: it.string("m"), EventCreatedAt: it.time("l"), URL: it.string("ur"), Signatures: it.string("sg"),
	}
	if a.Final {
		a.NextAttemptAt = time.Time{} // what is kept of one that was overtaken finds the next
	}
	if raw := it.bytes("g"); raw != nil {
		snippet, err := relay.PayloadFromDeflated(raw).Bytes()
		if err != nil {
			return a, damaged(it.key(), err.Error())
		}
		a.Snippet = string(snippet)
	}
	return a, nil
}

// RecordAttempt implements relay.Store. The copy of a bad attempt comes second;
// a crash between the two is healed when the message comes again, for then the
// attempt that is there is copied.
func (s *Store) RecordAttempt(ctx context.Context, a relay.Attempt) (*relay.Attempt, error) {
	there, ok, err := s.putMarked(ctx, s.attemptItem(s.attemptKey(attemptList, a.EndpointID, a.ID), a), s.absentOrExpired())
	if err != nil {
		return nil, fmt.Errorf("record attempt %s: %w", a.ID, err)
	}
	var existing *relay.Attempt
	if !ok {
		if a, err = attemptOf(there); err != nil {
			return nil, fmt.Errorf("record attempt %s: read the one there: %w", a.ID, err)
		}
		existing = &a
	}
	if bad(a.Status) {
		if _, _, err := s.put(ctx, s.attemptItem(s.attemptKey(badAttemptList, a.EndpointID, a.ID), a), condition{}); err != nil {
			return nil, fmt.Errorf("record attempt %s on the list of bad ones: %w", a.ID, err)
		}
	}
	return existing, nil
}

// Attempt implements relay.Store.
func (s *Store) Attempt(ctx context.Context, account, endpoint, id string) (relay.Attempt, error) {
	for _, sh := range s.shardsOf(id) {
		it, err := s.item(ctx, key{sharded(attemptList, endpoint, sh), id}, true)
		if err != nil {
			return relay.Attempt{}, fmt.Errorf("read attempt %s: %w", id, err)
		}
		if s.expired(it) || it.string("a") != account {
			continue
		}
		a, err := attemptOf(it)
		if err != nil {
			return relay.Attempt{}, fmt.Errorf("read attempt %s: %w", id, err)
		}
		return a, nil
	}
	return relay.Attempt{}, fmt.Errorf("attempt %s: %w", id, relay.ErrNotFound)
}

// Attempts implements relay.Store.
func (s *Store) Attempts(ctx context.Context, endpoint string, f relay.AttemptFilter, p relay.Page) ([]relay.Attempt, string, error) {
	r := keyRange{newest: true}
	var err error
	if r.after, err = position("d:", p.After); err != nil {
		return nil, "", err
	}
	if r.after != "" && !relay.ValidAttemptID(r.after) {
		return nil, "", fmt.Errorf("position %q: %w", p.After, relay.ErrCursor)
	}
	if !f.Since.IsZero() {
		r.low = relay.AttemptIDFloor(ceilMillis(f.Since))
	}
	if !f.Until.IsZero() {
		r.high = relay.AttemptIDFloor(ceilMillis(f.Until))
	}
	list := attemptList
	if f.Bad || f.Status != "" && bad(f.Status) {
		list = badAttemptList
	}
	var attempts []relay.Attempt
	var damage error
	next, err := page(ctx, s.shardRows(list, endpoint, r, p.Limit), p.Limit, "d:", func(it item) bool {
		if s.expired(it) || !fits(it, f) || it.string("sk") == r.high {
			return false
		}
		a, err := attemptOf(it)
		if err != nil {
			damage = err
			return false
		}
		attempts = append(attempts, a)
		return true
	})
	if err == nil {
		err = damage
	}
	if err != nil {
		return nil, "", fmt.Errorf("list attempts of %s: %w", endpoint, err)
	}
	return attempts, next, nil
}

// fits reports whether an attempt's item fits what the range has not judged.
func fits(it item, f relay.AttemptFilter) bool {
	st := relay.AttemptStatus(it.string("s"))
	switch {
	case f.Status != "" && st != f.Status,
		f.Bad && !bad(st),
		f.Final != nil && it.bool("f") != *f.Final,
		f.EventID != "" && it.string("e") != f.EventID,
		!relay.TypeFits(f.Types, it.string("t")):
		return false
	}
	return true
}
