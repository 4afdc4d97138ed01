package dynamo

import (
	"context"
	"fmt"

	"hookferry/shared/relay"
)

// An event that has a subject has one item more, under account and subject and
// sorted by time as its list row is. It says nothing else: the row does, which is
// read for each. One without a row is of an event that is not listed yet.

func subjectKey(ref relay.EventRef, subject string) key {
	return key{"U#" + ref.Account + "#" + subject, listSort(ref)}
}

// putSubject makes an event findable by its subject. Repeating it is harmless.
func (s *Store) putSubject(ctx context.Context, ev relay.Event) error {
	if ev.Subject == "" || s.noSubjects {
		return nil
	}
	it := newItem(subjectKey(ev.Ref(), ev.Subject))
	it.setExpiry(ev.CreatedAt.Add(s.retention))
	if _, _, err := s.put(ctx, it, condition{}); err != nil {
		return fmt.Errorf("put subject: %w", err)
	}
	return nil
}

// eventsOfSubject is Events for a filter with a subject.
func (s *Store) eventsOfSubject(ctx context.Context, account string, f relay.EventFilter, r keyRange, p relay.Page) ([]relay.EventSummary, string, error) {
	r.pk = subjectKey(relay.EventRef{Account: account}, f.Subject).pk
	found := s.rows(r, p.Limit, false)
	var events []relay.EventSummary
	for examined := 0; len(events) < p.Limit && examined < relay.MaxExamined; {
		var refs []relay.EventRef
		for want := min(p.Limit-len(events), relay.MaxExamined-examined); len(refs) < want; examined++ {
			it, err := found.next(ctx)
			if err != nil {
				return nil, "", err
			}
			if it == nil {
				break
			}
			if ref, ok := refOf(account, it.string("sk")); ok {
				refs = append(refs, ref)
			}
		}
		if len(refs) == 0 {
			return events, "", nil
		}
		rows, err := s.listRows(ctx, refs)
		if err != nil {
			return nil, "", err
		}
		rows = keep(rows, func(it item) bool { return s.lists(account, it, f) })
		more, err := s.summaries(ctx, account, rows, f)
		if err != nil {
			return nil, "", err
		}
		events = append(events, more...)
	}
	if !found.more() {
		return events, "", nil
	}
	return events, "e:" + found.last, nil
}

// listRows reads the list rows of events, those that are there, in their order.
func (s *Store) listRows(ctx context.Context, refs []relay.EventRef) ([]item, error) {
	var keys []key
	for _, ref := range refs {
		keys = append(keys, s.everyKey("L#", ref)...)
	}
	found, err := s.items(ctx, keys, false)
	if err != nil {
		return nil, err
	}
	var rows []item
	for _, ref := range refs {
		for _, k := range s.everyKey("L#", ref) {
			if it := found[k]; it.string("t") != "" {
				rows = append(rows, it)
				break
			}
		}
	}
	return rows, nil
}

func keep(items []item, is func(item) bool) (kept []item) {
	for _, it := range items {
		if is(it) {
			kept = append(kept, it)
		}
	}
	return kept
}
