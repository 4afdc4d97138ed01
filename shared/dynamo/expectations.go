package dynamo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hookferry/shared/relay"
)

// An expectation is found by its request; a row beside it keeps the order.
func expectationKey(source, request string) key { return key{"X#" + source, "R#" + request} }

func expectationRow(x relay.Expectation) key {
	return key{"X#" + x.SourceID, "T#" + timeKey(x.CreatedAt) + "#" + x.RequestID}
}

func (s *Store) expectationItem(x relay.Expectation) item {
	it := newItem(expectationKey(x.SourceID, x.RequestID))
	it.setString("a", x.Account)
	it.setTime("c", x.CreatedAt)
	it.setInt("n", int64(x.Asked))
	it.setTime("d", x.NextAt)
	it.setTime("g", x.GiveUpAt)
	it.setString("e", x.EventID)
	it.setBool("u", x.GaveUp)
	it.setBool("k", x.Queued)
	it.setExpiry(x.CreatedAt.Add(s.retention))
	return it
}

func expectationOf(source string, it item) relay.Expectation {
	return relay.Expectation{
		Account: it.string("a"), SourceID: source, RequestID: it.string("sk")[len("R#"):],
		CreatedAt: it.time("c"), Asked: int(it.int("n")), NextAt: it.time("d"), GiveUpAt: it.time("g"),
		EventID: it.string("e"), GaveUp: it.bool("u"), Queued: it.bool("k"),
	}
}

// PutExpectation implements relay.Store. The row that keeps the order is put
// first: should the second write be lost, the row alone shows nothing.
func (s *Store) PutExpectation(ctx context.Context, x relay.Expectation, limit int) (*relay.Expectation, error) {
	there, err := s.Expectation(ctx, x.SourceID, x.RequestID)
	if err == nil {
		return &there, nil
	}
	if !errors.Is(err, relay.ErrNotFound) {
		return nil, fmt.Errorf("put expectation: %w", err)
	}
	n, err := s.waiting.of(x.SourceID, func() (int, error) { return s.unresolved(ctx, x.SourceID) })
	if err != nil {
		return nil, fmt.Errorf("put expectation of %s: count the source's: %w", x.SourceID, err)
	}
	if n >= limit {
		return nil, fmt.Errorf("put expectation of %s: %w", x.SourceID, relay.ErrLimit)
	}
	row := newItem(expectationRow(x))
	row.setExpiry(x.CreatedAt.Add(s.retention))
	if _, _, err := s.put(ctx, row, condition{}); err != nil {
		return nil, fmt.Errorf("put expectation of %s: %w", x.SourceID, err)
	}
	raw, ok, err := s.putMarked(ctx, s.expectationItem(x), s.absentOrExpired())
	if err != nil {
		return nil, fmt.Errorf("put expectation of %s: %w", x.SourceID, err)
	}
	if !ok {
		there := expectationOf(x.SourceID, raw)
		return &there, nil
	}
	s.waiting.add(x.SourceID)
	return nil, nil
}

// absentOrExpired holds for an item with its time of creation in c that is not
// there, or is but should no longer be.
func (s *Store) absentOrExpired() condition {
	return condition{expr: "attribute_not_exists(pk) OR c <= :cut", values: item{":cut": numberValue(s.cutoff())}}
}

// expired reports whether an item with its time of creation in c is not there,
// or should no longer be.
func (s *Store) expired(it item) bool { return it == nil || it.int("c") <= s.cutoff() }

// unresolved counts what a source still waits for.
func (s *Store) unresolved(ctx context.Context, source string) (int, error) {
	cond, open := "pk = :pk AND begins_with(sk, :r)", "attribute_not_exists(e) AND attribute_not_exists(u) AND c > :cut"
	in := dynamodb.QueryInput{
		TableName: s.table, KeyConditionExpression: &cond, FilterExpression: &open, Select: types.SelectCount,
		ExpressionAttributeValues: item{":pk": stringValue("X#" + source), ":r": stringValue("R#"), ":cut": numberValue(s.cutoff())},
	}
	n := 0
	for {
		out, err := s.client.Query(ctx, &in)
		if err != nil {
			return 0, err
		}
		n += int(out.Count)
		if len(out.LastEvaluatedKey) == 0 {
			return n, nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// Expectation implements relay.Store.
func (s *Store) Expectation(ctx context.Context, source, request string) (relay.Expectation, error) {
	it, err := s.item(ctx, expectationKey(source, request), true)
	if err != nil {
		return relay.Expectation{}, fmt.Errorf("read expectation of %s: %w", source, err)
	}
	if s.expired(it) {
		return relay.Expectation{}, fmt.Errorf("expectation of %s: %w", source, relay.ErrNotFound)
	}
	return expectationOf(source, it), nil
}

// Expectations implements relay.Store.
func (s *Store) Expectations(ctx context.Context, source string, p relay.Page) ([]relay.Expectation, string, error) {
	after, err := position("x:", p.After)
	if err != nil {
		return nil, "", err
	}
	r := keyRange{pk: "X#" + source, low: "T#", high: "T$", after: after, newest: true}
	var keys []key
	var made []int64
	next, err := page(ctx, s.rows(r, p.Limit, false), p.Limit, "x:", func(it item) bool {
		created, request, ok := cutTimeKey(it.string("sk")[len("T#"):])
		if ok {
			keys = append(keys, expectationKey(source, request))
			made = append(made, created.UnixMilli())
		}
		return ok
	})
	if err != nil {
		return nil, "", fmt.Errorf("list expectations of %s: %w", source, err)
	}
	found, err := s.items(ctx, keys, false)
	if err != nil {
		return nil, "", fmt.Errorf("list expectations of %s: %w", source, err)
	}
	var xs []relay.Expectation
	for i, k := range keys {
		// A row of another time than its expectation's is of one that was
		// deleted since, or was never put.
		if it := found[k]; !s.expired(it) && it.int("c") == made[i] {
			xs = append(xs, expectationOf(source, it))
		}
	}
	return xs, next, nil
}

// UpdateExpectation implements relay.Store.
func (s *Store) UpdateExpectation(ctx context.Context, x relay.Expectation, asked int) error {
	still := "n = :asked"
	if asked == 0 {
		still = "(attribute_not_exists(n) OR n = :asked)"
	}
	mark := fresh()
	cond := condition{
		expr: "attribute_exists(pk) AND c > :cut AND attribute_not_exists(e) AND " + still,
		values: item{
			":cut": numberValue(s.cutoff()), ":n": numberValue(int64(x.Asked)),
			":d": numberValue(unixMillis(x.NextAt)), ":asked": numberValue(int64(asked)),
		},
	}
	cond.values.setBytes(":w", mark)
	expr := "SET n = :n, d = :d, w = :w"
	if x.Queued {
		cond.values[":k"] = numberValue(1)
		expr += ", k = :k"
	}
	if x.GaveUp {
		cond.values[":u"] = numberValue(1)
		expr += ", u = :u"
	} else {
		expr += " REMOVE u"
	}
	there, ok, err := s.update(ctx, expectationKey(x.SourceID, x.RequestID), expr, cond, returnNothing)
	switch {
	case err != nil:
		return fmt.Errorf("update expectation of %s: %w", x.SourceID, err)
	case ok || marked(there, mark):
		s.waiting.forget(x.SourceID)
		return nil
	case s.expired(there):
		return fmt.Errorf("update expectation of %s: %w", x.SourceID, relay.ErrNotFound)
	}
	return fmt.Errorf("update expectation of %s: %w", x.SourceID, relay.ErrConflict)
}

// ResolveExpectation implements relay.Store.
func (s *Store) ResolveExpectation(ctx context.Context, source, request, event string) (relay.Expectation, error) {
	cond := condition{
		expr:   "attribute_exists(pk) AND c > :cut AND attribute_not_exists(e)",
		values: item{":cut": numberValue(s.cutoff()), ":e": stringValue(event)},
	}
	it, ok, err := s.update(ctx, expectationKey(source, request), "SET e = :e", cond, returnNew)
	if err != nil {
		return relay.Expectation{}, fmt.Errorf("resolve expectation of %s: %w", source, err)
	}
	if !ok && s.expired(it) {
		return relay.Expectation{}, fmt.Errorf("resolve expectation of %s: %w", source, relay.ErrNotFound)
	}
	s.waiting.forget(source)
	return expectationOf(source, it), nil
}

// DeleteExpectation implements relay.Store.
func (s *Store) DeleteExpectation(ctx context.Context, source, request string) error {
	k := expectationKey(source, request)
	out, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: s.table, Key: k.attributes(),
		ReturnValues: types.ReturnValueAllOld,
	})
	if err == nil && len(out.Attributes) > 0 {
		row := expectationRow(expectationOf(source, item(out.Attributes)))
		_, err = s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: s.table, Key: row.attributes()})
	}
	if err != nil {
		return fmt.Errorf("delete expectation of %s: %w", source, err)
	}
	s.waiting.forget(source)
	return nil
}

// dropExpectations deletes everything that is expected of a source.
func (s *Store) dropExpectations(ctx context.Context, source string) error {
	rows := s.rows(keyRange{pk: "X#" + source, consistent: true}, 0, false)
	var batch []types.WriteRequest
	for {
		it, err := rows.next(ctx)
		if err != nil {
			return fmt.Errorf("read what is expected: %w", err)
		}
		if it != nil {
			batch = append(batch, types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: it.key().attributes()}})
		}
		if len(batch) == 25 || it == nil && len(batch) > 0 {
			if err := s.writeBatch(ctx, batch); err != nil {
				return fmt.Errorf("delete what is expected: %w", err)
			}
			batch = nil
		}
		if it == nil {
			return nil
		}
	}
}

func (s *Store) writeBatch(ctx context.Context, batch []types.WriteRequest) error {
	request := map[string][]types.WriteRequest{*s.table: batch}
	for round := 0; len(request) > 0; round++ {
		if round == maxRounds {
			return fmt.Errorf("%d items not written: the table is throttled", len(request[*s.table]))
		}
		if err := pause(ctx, round); err != nil {
			return err
		}
		out, err := s.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: request})
		if err != nil {
			return err
		}
		request = out.UnprocessedItems
	}
	return nil
}

// countCache keeps for 5 seconds how many unresolved expectations a source has.
type countCache struct {
	now  func() time.Time
	mu   sync.Mutex
	kept map[string]keptCount
}

type keptCount struct {
	n  int
	at time.Time
}

// of returns the kept count, or counts.
func (c *countCache) of(source string, count func() (int, error)) (int, error) {
	now := c.now()
	c.mu.Lock()
	kept, ok := c.kept[source]
	c.mu.Unlock()
	if age := now.Sub(kept.at); ok && age >= 0 && age < 5*time.Second {
		return kept.n, nil
	}
	n, err := count()
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil || len(c.kept) >= 1000 {
		c.kept = make(map[string]keptCount)
	}
	c.kept[source] = keptCount{n, now}
	return n, nil
}

// add counts one more.
func (c *countCache) add(source string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if kept, ok := c.kept[source]; ok {
		kept.n++
		c.kept[source] = kept
	}
}

// forget makes the next look count again.
func (c *countCache) forget(source string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.kept, source)
}
