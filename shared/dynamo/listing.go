package dynamo

import (
	"context"
	"errors"
	"fmt"

	"hookferry/shared/relay"
)

// listing is what a listed event's row and open-event item say of it.
func (s *Store) listing(k key, ev relay.Event, endpoints []string) item {
	it := newItem(k)
	it.setSummary(ev)
	it.setInt("n", int64(len(endpoints)))
	var packed []byte
	for _, id := range endpoints {
		packed = packID(packed, id)
	}
	it.setBytes("ep", packed)
	it.setExpiry(ev.CreatedAt.Add(s.retention))
	return it
}

// ListEvent implements relay.Store. The list row comes first: it decides between
// two who list the event at once. A row that is marked as open counts as listed
// only with its open-event item, so a crash between the two leaves the event
// unlisted until the message comes again.
func (s *Store) ListEvent(ctx context.Context, ev relay.Event, deliveries []relay.Delivery) error {
	endpoints, open := relay.EndpointsOf(deliveries), len(deliveries) == 0
	for _, d := range deliveries {
		open = open || !plain(d)
	}
	ref := ev.Ref()
	// Beside the row, and done before this is: whoever finds an event by its
	// subject reads its row.
	subject := make(chan error, 1)
	go func() { subject <- s.putSubject(ctx, ev) }()
	if err := errors.Join(s.listEvent(ctx, ev, ref, deliveries, endpoints, open), <-subject); err != nil {
		return fmt.Errorf("list event %s: %w", ev.ID, err)
	}
	return nil
}

func (s *Store) listEvent(ctx context.Context, ev relay.Event, ref relay.EventRef, deliveries []relay.Delivery, endpoints []string, open bool) error {
	if open {
		if err := s.register(ctx, ev.Account); err != nil {
			return err
		}
	}
	row := s.listing(s.listKey(ref), ev, endpoints)
	row.setBool("p", open)
	there, ok, err := s.putMarked(ctx, row, absent)
	if err == nil && ok && !open {
		return nil
	}
	first := s.listing(s.openKey(ref), ev, endpoints)
	if err == nil && ok {
		for _, d := range deliveries {
			if !plain(d) {
				first.setString(endpointAttribute+d.EndpointID, deliveryText(d))
			}
		}
		_, ok, err = s.putMarked(ctx, first, absent)
		if err == nil && ok {
			return nil
		}
	}
	if err == nil {
		err = s.listAgain(ctx, ev, deliveries, endpoints, there)
	}
	return err
}

// listAgain lists an event of which there is a list row or an open-event item
// already: of a listing before, or because a delivery was saved or run again
// before the event was listed.
func (s *Store) listAgain(ctx context.Context, ev relay.Event, deliveries []relay.Delivery, endpoints []string, row item) error {
	ref := ev.Ref()
	if row.string("t") != "" && !row.bool("p") {
		// All had succeeded at the first attempt; what is not further than that
		// changes nothing.
		for _, d := range deliveries {
			if d.Progress() >= 1 && !plain(d) {
				if err := s.SaveDelivery(ctx, ref, d); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := s.register(ctx, ev.Account); err != nil {
		return err
	}
	// Each delivery by name, before the item says that those it does not name
	// have succeeded.
	for _, d := range deliveries {
		if _, err := s.advance(ctx, s.openKey(ref), ref, d, false); err != nil {
			return err
		}
	}
	if err := s.merge(ctx, s.listing(s.openKey(ref), ev, endpoints)); err != nil {
		return err
	}
	listed := s.listing(s.listKey(ref), ev, endpoints)
	listed.setBool("p", true)
	return s.merge(ctx, listed)
}
