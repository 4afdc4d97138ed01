package dynamo

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hookferry/shared/relay"
)

// keyRange is a part of one partition in order of sort key.
type keyRange struct {
	pk         string
	low, high  string // of the sort key, inclusive; empty: open
	after      string // the position to go on from: it and all before it are left out
	newest     bool   // from high to low
	consistent bool
}

// rows walks items in order of sort key, from one range or merged from several
// of the same direction. Items with equal sort keys count as one: a list row
// that was put again after the shard count was doubled.
type rows struct {
	store  *Store
	newest bool
	parts  []*part
	last   string
	began  bool
}

// part is the walk over one range.
type part struct {
	in    dynamodb.QueryInput
	after string
	buf   []item
	done  bool
}

// rows returns the walk over one range, which reads about limit items at a time
// (0: as many as come). inTurn says that more walks are merged with it.
func (s *Store) rows(r keyRange, limit int, inTurn bool) *rows {
	return &rows{store: s, newest: r.newest, parts: []*part{s.part(r, limit, inTurn)}}
}

// shardRows returns the merged walk over all shards of a list.
func (s *Store) shardRows(prefix, owner string, r keyRange, limit int) *rows {
	merged := &rows{store: s, newest: r.newest}
	for sh := range s.shards {
		r.pk = sharded(prefix, owner, sh)
		merged.parts = append(merged.parts, s.part(r, limit, true))
	}
	return merged
}

func (s *Store) part(r keyRange, limit int, inTurn bool) *part {
	values := item{":pk": stringValue(r.pk)}
	cond := "pk = :pk"
	low, high := r.low, r.high
	if r.after != "" {
		if r.newest && (high == "" || r.after < high) {
			high = r.after
		} else if !r.newest && r.after > low {
			low = r.after
		}
	}
	switch {
	case low != "" && high != "":
		cond += " AND sk BETWEEN :low AND :high"
	case low != "":
		cond += " AND sk >= :low"
	case high != "":
		cond += " AND sk <= :high"
	}
	if low != "" {
		values[":low"] = stringValue(low)
	}
	if high != "" {
		values[":high"] = stringValue(high)
	}
	p := &part{after: r.after, in: dynamodb.QueryInput{
		TableName: s.table, KeyConditionExpression: &cond,
		ExpressionAttributeValues: values, ScanIndexForward: aws.Bool(!r.newest), ConsistentRead: aws.Bool(r.consistent),
	}}
	p.done = low != "" && high != "" && low > high
	if limit > 0 {
		size := limit + 1
		if inTurn {
			size = limit/s.shards*2 + 4
		}
		p.in.Limit = aws.Int32(int32(size))
	}
	return p
}

// fill reads until the part has an item or is done.
func (p *part) fill(ctx context.Context, s *Store) error {
	for len(p.buf) == 0 && !p.done {
		out, err := s.client.Query(ctx, &p.in)
		if err != nil {
			return err
		}
		for _, raw := range out.Items {
			if it := item(raw); p.after == "" || it.string("sk") != p.after {
				p.buf = append(p.buf, it)
			}
		}
		p.in.ExclusiveStartKey = out.LastEvaluatedKey
		p.done = len(out.LastEvaluatedKey) == 0
	}
	return nil
}

// next returns the next item, nil after the last.
func (r *rows) next(ctx context.Context) (item, error) {
	for {
		if err := r.fill(ctx); err != nil {
			return nil, err
		}
		var first *part
		for _, p := range r.parts {
			if len(p.buf) == 0 {
				continue
			}
			if first == nil {
				first = p
				continue
			}
			if c := strings.Compare(p.buf[0].string("sk"), first.buf[0].string("sk")); c != 0 && (c > 0) == r.newest {
				first = p
			}
		}
		if first == nil {
			return nil, nil
		}
		it := first.buf[0]
		first.buf = first.buf[1:]
		sk := it.string("sk")
		if r.began && sk == r.last {
			continue
		}
		r.began, r.last = true, sk
		return it, nil
	}
}

// fill reads for every part that has run dry, all at the same time.
func (r *rows) fill(ctx context.Context) error {
	var dry []*part
	for _, p := range r.parts {
		if len(p.buf) == 0 && !p.done {
			dry = append(dry, p)
		}
	}
	if len(dry) == 1 {
		return dry[0].fill(ctx, r.store)
	}
	errs := make([]error, len(dry))
	var wg sync.WaitGroup
	for i, p := range dry {
		wg.Go(func() { errs[i] = p.fill(ctx, r.store) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// more reports whether items may follow.
func (r *rows) more() bool {
	for _, p := range r.parts {
		if len(p.buf) > 0 || !p.done {
			return true
		}
	}
	return false
}

// page takes items until limit of them were taken or MaxExamined looked at, and
// returns the position to go on from: the list's mark and the last sort key,
// empty at the end of the list.
func page(ctx context.Context, r *rows, limit int, list string, take func(item) bool) (next string, err error) {
	taken := 0
	for examined := 0; examined < relay.MaxExamined && taken < limit; examined++ {
		it, err := r.next(ctx)
		if err != nil {
			return "", err
		}
		if it == nil {
			return "", nil
		}
		if take(it) {
			taken++
		}
	}
	if !r.more() {
		return "", nil
	}
	return list + r.last, nil
}

// returnNothing and returnNew are what an update may ask for.
const (
	returnNothing = types.ReturnValueNone
	returnNew     = types.ReturnValueAllNew
)
