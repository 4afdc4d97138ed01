package dynamo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"hookferry/shared/relay"
)

// Events implements relay.Store. Only events that are not delivered at the first
// attempt have an open-event item, so a list by status walks those; one by
// "delivered", or by none, walks all and looks up the open ones.
func (s *Store) Events(ctx context.Context, account string, f relay.EventFilter, p relay.Page) ([]relay.EventSummary, string, error) {
	r, err := eventRange(f, p.After)
	if err != nil {
		return nil, "", err
	}
	if f.Subject != "" && !s.noSubjects {
		events, next, err := s.eventsOfSubject(ctx, account, f, r, p)
		if err != nil {
			return nil, "", fmt.Errorf("list events of %s: %w", account, err)
		}
		return events, next, nil
	}
	prefix := "L#"
	if len(f.Statuses) > 0 && !slices.Contains(f.Statuses, relay.EventDelivered) {
		prefix = "P#"
	}
	rows := s.shardRows(prefix, account, r, p.Limit)
	// Rows whose status is kept elsewhere are looked up a page at a time, so
	// before that it is not known whether they fit.
	var events []relay.EventSummary
	after := p.After
	for examined := 0; ; {
		want := min(p.Limit-len(events), relay.MaxExamined-examined)
		if want <= 0 {
			if !rows.more() {
				after = ""
			}
			return events, after, nil
		}
		var batch []item
		for len(batch) < want {
			it, err := rows.next(ctx)
			if err != nil {
				return nil, "", fmt.Errorf("list events of %s: %w", account, err)
			}
			if it == nil {
				break
			}
			examined++
			after = "e:" + rows.last
			if s.lists(account, it, f) {
				batch = append(batch, it)
			} else if examined == relay.MaxExamined {
				break
			}
		}
		found, err := s.summaries(ctx, account, batch, f)
		if err != nil {
			return nil, "", fmt.Errorf("list events of %s: %w", account, err)
		}
		events = append(events, found...)
		if len(batch) < want && examined < relay.MaxExamined {
			return events, "", nil
		}
	}
}

// eventRange returns the part of a list by time that the filter asks for.
func eventRange(f relay.EventFilter, after string) (keyRange, error) {
	r := keyRange{newest: true}
	if !f.Since.IsZero() {
		r.low = timeKey(ceilMillis(f.Since))
	}
	if !f.Until.IsZero() {
		r.high = timeKey(ceilMillis(f.Until)) // all of that millisecond sorts after it
	}
	var err error
	if r.after, err = position("e:", after); err != nil {
		return r, err
	}
	if r.after != "" {
		if _, id, ok := cutTimeKey(r.after); !ok || !relay.ValidEventKey(id) {
			return r, fmt.Errorf("position %q: %w", after, relay.ErrCursor)
		}
	}
	return r, nil
}

// ceilMillis makes a bound that is finer than what is stored the next one that
// is not.
func ceilMillis(t time.Time) time.Time { return t.Add(time.Millisecond - 1).Truncate(time.Millisecond) }

// lists reports whether a row is of a listed event that fits all of the filter
// but the status.
func (s *Store) lists(account string, it item, f relay.EventFilter) bool {
	ref, ok := refOf(account, it.string("sk"))
	if !ok || it.string("t") == "" || unixMillis(ref.CreatedAt) <= s.cutoff() {
		return false
	}
	var endpoints []string
	if f.EndpointID != "" {
		for rest, ok := it.bytes("ep"), true; ok && len(rest) > 0; {
			var id string
			id, rest, ok = unpackID(rest)
			endpoints = append(endpoints, id)
		}
	}
	return f.Fits(summaryOf(it, ref), endpoints)
}

// summaries reads what rows do not tell themselves and leaves out those of
// another status.
func (s *Store) summaries(ctx context.Context, account string, rows []item, f relay.EventFilter) ([]relay.EventSummary, error) {
	var keys []key
	for _, it := range rows {
		if it.bool("p") {
			keys = append(keys, openFor(it.key()))
		}
	}
	found, err := s.items(ctx, keys, false)
	if err != nil {
		return nil, err
	}
	var events []relay.EventSummary
	for _, it := range rows {
		ref, _ := refOf(account, it.string("sk"))
		open := it
		if strings.HasPrefix(it.string("pk"), "L#") {
			open = nil
			if it.bool("p") {
				open = found[openFor(it.key())]
			}
		}
		if it.bool("p") && open.string("t") == "" {
			continue // about to be listed
		}
		sum := relay.EventSummary{Event: summaryOf(it, ref), Status: relay.EventDelivered}
		if open != nil {
			if sum.Status, err = open.status(); err != nil {
				return nil, err
			}
		}
		if f.Wants(sum.Status) {
			events = append(events, sum)
		}
	}
	return events, nil
}

// openAccounts is the partition that names the accounts which may have open
// events. A row lives as long as the events that it was put for, and two days.
const openAccounts = "O"

const registerAgain = 24 * time.Hour

// register makes sure that Overdue finds the open events of an account: one
// write for an account, process and day.
func (s *Store) register(ctx context.Context, account string) error {
	now := s.now()
	s.registered.mu.Lock()
	at, ok := s.registered.at[account]
	s.registered.mu.Unlock()
	if age := now.Sub(at); ok && age >= 0 && age < registerAgain {
		return nil
	}
	it := newItem(key{openAccounts, account})
	it.setExpiry(now.Add(s.retention + 2*registerAgain))
	if _, _, err := s.put(ctx, it, condition{}); err != nil {
		return fmt.Errorf("register account %s: %w", account, err)
	}
	s.registered.mu.Lock()
	defer s.registered.mu.Unlock()
	if s.registered.at == nil || len(s.registered.at) >= 10_000 {
		s.registered.at = make(map[string]time.Time)
	}
	s.registered.at[account] = now
	return nil
}

// registry remembers when this process registered accounts.
type registry struct {
	mu sync.Mutex
	at map[string]time.Time
}

// overdueAccounts is how many accounts are walked for one page at most.
const overdueAccounts = 50

// Overdue implements relay.Store. It walks the open-event items of one account
// after another; a position is the account, and within it the event and the
// endpoint.
func (s *Store) Overdue(ctx context.Context, t time.Time, p relay.Page) ([]relay.Overdue, string, error) {
	account, event, endpoint, err := overduePosition(p.After)
	if err != nil {
		return nil, "", err
	}
	accounts := s.rows(keyRange{pk: openAccounts, low: account}, overdueAccounts, false)
	var late []relay.Overdue
	examined := 0
	for walked := 0; ; walked++ {
		entry, err := accounts.next(ctx)
		if err != nil {
			return nil, "", fmt.Errorf("list overdue deliveries: %w", err)
		}
		if entry == nil {
			return late, "", nil
		}
		at := entry.string("sk")
		if at != account {
			event, endpoint = "", ""
		}
		if walked == overdueAccounts || examined >= relay.MaxExamined || len(late) >= p.Limit {
			return late, "o:" + at + "\n\n", nil
		}
		rows := s.shardRows("P#", at, keyRange{newest: true, high: event}, relay.MaxExamined)
		for {
			it, err := rows.next(ctx)
			if err != nil {
				return nil, "", fmt.Errorf("list overdue deliveries of %s: %w", at, err)
			}
			if it == nil {
				break
			}
			examined++
			sk := it.string("sk")
			ds, err := s.overdue(at, it, t)
			if err != nil {
				return nil, "", fmt.Errorf("list overdue deliveries: %w", err)
			}
			taken := "" // of this event's deliveries, the last
			for _, d := range ds {
				if sk == event && d.Delivery.EndpointID <= endpoint {
					taken = endpoint
					continue
				}
				if len(late) == p.Limit {
					return late, "o:" + at + "\n" + taken + "\n" + sk, nil
				}
				late = append(late, d)
				taken = d.Delivery.EndpointID
			}
			if examined >= relay.MaxExamined {
				return late, "o:" + at + "\n\xff\n" + sk, nil
			}
		}
	}
}

// OpenDeliveries implements relay.Store. It walks the account's open events.
func (s *Store) OpenDeliveries(ctx context.Context, account, endpoint string, since, until time.Time, p relay.Page) ([]relay.Overdue, string, error) {
	r, err := eventRange(relay.EventFilter{Since: since, Until: until}, p.After)
	if err != nil {
		return nil, "", err
	}
	var open []relay.Overdue
	next, err := page(ctx, s.shardRows("P#", account, r, p.Limit), p.Limit, "e:", func(it item) bool {
		ref, ok := refOf(account, it.string("sk"))
		d, known := parseDelivery(endpoint, it.string(endpointAttribute+endpoint))
		if !ok || !known || unixMillis(ref.CreatedAt) <= s.cutoff() || !d.Open() || d.NextAttemptAt.IsZero() {
			return false
		}
		open = append(open, relay.Overdue{Event: ref, Delivery: d})
		return true
	})
	if err != nil {
		return nil, "", fmt.Errorf("list open deliveries to %s: %w", endpoint, err)
	}
	return open, next, nil
}

// overdue returns the deliveries of one open-event item that are open and were
// due before t, by endpoint.
func (s *Store) overdue(account string, it item, t time.Time) ([]relay.Overdue, error) {
	ref, ok := refOf(account, it.string("sk"))
	if !ok || unixMillis(ref.CreatedAt) <= s.cutoff() {
		return nil, nil
	}
	ds, err := it.kept()
	if err != nil {
		return nil, err
	}
	var late []relay.Overdue
	for _, d := range ds {
		if d.Open() && !d.NextAttemptAt.IsZero() && d.NextAttemptAt.Before(t) && d.NotBefore.Before(t) {
			late = append(late, relay.Overdue{Event: ref, Delivery: d})
		}
	}
	return late, nil
}

func overduePosition(after string) (account, event, endpoint string, err error) {
	rest, err := position("o:", after)
	if err != nil || rest == "" {
		return "", "", "", err
	}
	account, rest, ok := strings.Cut(rest, "\n")
	endpoint, event, ok2 := strings.Cut(rest, "\n")
	if !ok || !ok2 || account == "" {
		return "", "", "", fmt.Errorf("position %q: %w", after, relay.ErrCursor)
	}
	return account, event, endpoint, nil
}
