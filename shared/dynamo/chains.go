package dynamo

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hookferry/shared/relay"
)

// The attempts of an event stand among those of all others of their endpoints.
// They are found by their identifiers all the same: the first attempt of a run is
// due when the run starts, each other when the one before it says, and an
// identifier follows from that. So an event's item keeps when the runs of each
// endpoint started.

// startsAttribute holds when the runs before an endpoint's latest started, with
// the endpoint's identifier behind it.
const startsAttribute = "."

// maxChains is how many runs of an event are looked into for its attempts.
const maxChains = 300

// maxStarts is how many earlier runs of a delivery are remembered.
const maxStarts = 20

// startsText returns what is kept of the starts of runs once one more is no
// longer the latest.
func startsText(before string, was relay.Run) string {
	starts := strings.Fields(before + " " + strconv.FormatInt(unixMillis(was.StartedAt), 10))
	return strings.Join(starts[max(0, len(starts)-maxStarts):], " ")
}

// chain is a run of a delivery, of which the next attempt is looked for.
type chain struct {
	endpoint    string
	run, number int
	due         time.Time
}

// chains returns the runs of an event's delivery, the latest first.
func chains(r relay.EventRecord, it item, endpoint string) []chain {
	latest := r.Runs[endpoint]
	var all []chain
	if latest.Number > 0 {
		all = append(all, chain{endpoint, latest.Number, 1, latest.StartedAt})
	}
	starts := strings.Fields(it.string(startsAttribute + endpoint))
	for i := len(starts) - 1; i >= 0; i-- {
		if ms, err := strconv.ParseInt(starts[i], 10, 64); err == nil {
			all = append(all, chain{endpoint, latest.Number - (len(starts) - i), 1, timeOf(ms)})
		}
	}
	return append(all, chain{endpoint, 0, 1, r.CreatedAt})
}

// follow reads the attempts of all chains to their ends.
func (s *Store) follow(ctx context.Context, ref relay.EventRef, open []chain, consistent bool) ([]relay.Attempt, error) {
	var attempts []relay.Attempt
	for len(open) > 0 {
		var keys []key
		byID := make(map[string]chain, len(open))
		for _, c := range open {
			id := relay.AttemptID(ref.Account, ref.ID, c.endpoint, c.run, c.number, c.due)
			byID[id] = c
			for _, sh := range s.shardsOf(id) {
				keys = append(keys, key{sharded(attemptList, c.endpoint, sh), id})
			}
		}
		found, err := s.items(ctx, keys, consistent)
		if err != nil {
			return nil, err
		}
		open = nil
		for k, it := range found {
			c, ok := byID[k.sk]
			if !ok || s.expired(it) || it.string("a") != ref.Account {
				continue
			}
			delete(byID, k.sk) // one of two shards is enough
			a, err := attemptOf(it)
			if err != nil {
				return nil, err
			}
			attempts = append(attempts, a)
			// Also of an attempt that was overtaken: the next may have been in flight.
			if next := it.time("z"); !next.IsZero() {
				open = append(open, chain{c.endpoint, c.run, c.number + 1, next})
			}
		}
	}
	return attempts, nil
}

// EventAttempts implements relay.Store.
func (s *Store) EventAttempts(ctx context.Context, ref relay.EventRef, endpoints []string, limit int) ([]relay.Attempt, error) {
	it, err := s.item(ctx, eventKey(ref.Account, ref.ID), false)
	if err != nil {
		return nil, fmt.Errorf("read event %s: %w", ref.ID, err)
	}
	if s.expired(it) {
		return nil, fmt.Errorf("event %s: %w", ref.ID, relay.ErrNotFound)
	}
	r, err := eventOf(ref.Account, ref.ID, it)
	if err != nil {
		return nil, fmt.Errorf("read event %s: %w", ref.ID, err)
	}
	var all []chain
	for _, endpoint := range endpoints {
		all = append(all, chains(r, it, endpoint)...)
	}
	// The newest runs; nobody makes a reader follow thousands.
	slices.SortStableFunc(all, func(a, b chain) int { return b.due.Compare(a.due) })
	attempts, err := s.follow(ctx, r.Ref(), all[:min(len(all), maxChains)], false)
	if err != nil {
		return nil, fmt.Errorf("read attempts of %s: %w", ref.ID, err)
	}
	return relay.NewestAttempts(attempts, limit), nil
}

// EndAttempt implements relay.Store.
func (s *Store) EndAttempt(ctx context.Context, a relay.Attempt) error {
	for _, list := range []string{attemptList, badAttemptList} {
		for _, sh := range s.shardsOf(a.ID) {
			cond := condition{expr: "attribute_exists(pk)", values: item{":f": numberValue(1)}}
			if _, _, err := s.update(ctx, key{sharded(list, a.EndpointID, sh), a.ID}, "SET f = :f", cond, returnNothing); err != nil {
				return fmt.Errorf("end attempt %s: %w", a.ID, err)
			}
		}
	}
	return nil
}

// overtaken returns the writes that mark the last attempt of the run that a new
// one takes over from, if another was to follow it.
func (s *Store) overtaken(ctx context.Context, r relay.EventRecord, endpoint string, st state) ([]types.TransactWriteItem, error) {
	if text := st.open.string(endpointAttribute + endpoint); text != "" {
		if d, ok := parseDelivery(endpoint, text); ok && !d.Open() {
			return nil, nil
		}
	} else if st.listed() {
		return nil, nil // succeeded at the first attempt, or was not delivered
	}
	was := chain{endpoint, 0, 1, r.CreatedAt}
	if run := r.Runs[endpoint]; run.Number > 0 {
		was = chain{endpoint, run.Number, 1, run.StartedAt}
	}
	attempts, err := s.follow(ctx, r.Ref(), []chain{was}, true)
	if err != nil || len(attempts) == 0 {
		return nil, err
	}
	last := attempts[len(attempts)-1]
	if last.Final {
		return nil, nil
	}
	last.Final, last.NextAttemptAt = true, time.Time{}
	here := item{":f": numberValue(1)}
	return []types.TransactWriteItem{
		s.transactUpdate(s.attemptKey(attemptList, endpoint, last.ID), "SET f = :f", condition{expr: "attribute_exists(pk)", values: here}),
		s.transactPut(s.attemptItem(s.attemptKey(badAttemptList, endpoint, last.ID), last), condition{}),
	}, nil
}
