package dynamo

import (
	"context"
	"fmt"

	"hookferry/shared/relay"
)

// refusalPrefix begins the partitions of refusals. The receiver's role may write
// there and nowhere else.
const refusalPrefix = "R#"

func refusalKey(r relay.Refusal) key {
	return key{refusalPrefix + r.SourceID, timeKey(r.Hour) + "#" + r.Reason}
}

// AddRefusals implements relay.Store.
func (s *Store) AddRefusals(ctx context.Context, r relay.Refusal) error {
	values := item{":n": numberValue(int64(r.Count))}
	values.setTime(":l", r.LastAt)
	ttl := newItem(key{})
	ttl.setExpiry(r.Hour.Add(s.retention))
	values[":x"] = ttl[ttlAttribute]
	// The mark tells a request that is made again from one that is new, unless
	// another process came between.
	values.setBytes(":w", fresh())
	cond := condition{
		expr: "attribute_not_exists(w) OR w <> :w", values: values, names: map[string]string{"#ttl": ttlAttribute},
	}
	if _, _, err := s.update(ctx, refusalKey(r), "SET l = :l, #ttl = :x, w = :w ADD n :n", cond, returnNothing); err != nil {
		return fmt.Errorf("count refusals of %s: %w", r.SourceID, err)
	}
	return nil
}

// Refusals implements relay.Store.
func (s *Store) Refusals(ctx context.Context, source string, p relay.Page) ([]relay.Refusal, string, error) {
	after, err := position("r:", p.After)
	if err != nil {
		return nil, "", err
	}
	low := timeKey(timeOf(s.cutoff())) + "$" // after every reason of the hour that has gone
	rows := s.rows(keyRange{pk: refusalPrefix + source, low: low, high: "9", after: after, newest: true}, p.Limit, false)
	var refusals []relay.Refusal
	next, err := page(ctx, rows, p.Limit, "r:", func(it item) bool {
		hour, reason, ok := cutTimeKey(it.string("sk"))
		if ok {
			refusals = append(refusals, relay.Refusal{
				SourceID: source, Hour: hour, Reason: reason, Count: int(it.int("n")), LastAt: it.time("l"),
			})
		}
		return ok
	})
	if err != nil {
		return nil, "", fmt.Errorf("list refusals of %s: %w", source, err)
	}
	return refusals, next, nil
}
