package dynamo

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	mrand "math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hookferry/shared/relay"
)

// DefaultShards is how many ranges a list is spread over unless told otherwise.
const DefaultShards = 8

// DefaultRetention is how long events and attempts are kept unless told
// otherwise.
const DefaultRetention = 30 * 24 * time.Hour

// Bounds of one call: after maxAttempts requests, or when a wait between two
// would be cut by the context, the error is the caller's.
const (
	maxAttempts = 5
	minBackoff  = 25 * time.Millisecond
	maxBackoff  = 500 * time.Millisecond
	// maxRounds is how often a read-decide-write is begun again because another
	// writer came between.
	maxRounds = 12
)

// Config says how a Store works.
type Config struct {
	// Table is the table's name.
	Table string
	// Shards is how many ranges each list is spread over: 8, 16, 32 and so on;
	// 0 is DefaultShards, any other number is raised to the next of these. It
	// may be doubled at any time, and must never be lowered.
	Shards int
	// Retention is how long events, attempts and replays are kept; 0 is
	// DefaultRetention.
	Retention time.Duration
	// NoSubjectLookup leaves out the item by which an event is found under its
	// subject, a write unit for each event that has one. Looking a subject up then
	// walks the list of all events.
	NoSubjectLookup bool
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Store is a relay.Store on one DynamoDB table. It is safe for concurrent use.
type Store struct {
	client     *dynamodb.Client
	table      *string
	shards     int
	retention  time.Duration
	noSubjects bool
	now        func() time.Time
	waiting    countCache
	registered registry
	stale      stale
}

var _ relay.Store = (*Store)(nil)

// New returns the store on the table that cfg names, which must exist. It uses
// the client's settings but for its retries: throttled, conflicting and
// unanswered requests are made again, four times at most and half a second
// apart at most. Then the call fails.
func New(client *dynamodb.Client, cfg Config) *Store {
	shards := DefaultShards
	for shards < cfg.Shards {
		shards *= 2
	}
	if cfg.Retention == 0 {
		cfg.Retention = DefaultRetention
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	options := client.Options()
	options.Retryer = newRetryer()
	return &Store{
		client:    dynamodb.New(options),
		table:     aws.String(cfg.Table),
		shards:    shards,
		retention: cfg.Retention, noSubjects: cfg.NoSubjectLookup,
		now:     cfg.Now,
		waiting: countCache{now: cfg.Now},
	}
}

func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = maxAttempts
		o.Backoff = retry.BackoffDelayerFunc(backoff)
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(conflicting)}, o.Retryables...)
	})
}

// backoff returns a random wait of up to 25 ms before the second request, twice
// that before the third, and so on, up to maxBackoff.
func backoff(attempt int, _ error) (time.Duration, error) {
	return mrand.N(min(minBackoff<<min(attempt, 8), maxBackoff)), nil
}

// conflicting reports a write that met a transaction on the same item, which is
// over within milliseconds.
func conflicting(err error) aws.Ternary {
	if _, ok := errors.AsType[*types.TransactionConflictException](err); ok {
		return aws.TrueTernary
	}
	cancelled, ok := errors.AsType[*types.TransactionCanceledException](err)
	if !ok {
		return aws.UnknownTernary
	}
	again := aws.UnknownTernary
	for _, reason := range cancelled.CancellationReasons {
		switch aws.ToString(reason.Code) {
		case "", "None":
		case "TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError":
			again = aws.TrueTernary
		default:
			return aws.FalseTernary
		}
	}
	return again
}

// key names one item.
type key struct{ pk, sk string }

func (k key) attributes() map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"pk": stringValue(k.pk), "sk": stringValue(k.sk)}
}

// condition is a condition expression with the values and names it uses.
type condition struct {
	expr   string
	values item
	names  map[string]string
}

// absent holds for an item that is not there.
var absent = condition{expr: "attribute_not_exists(pk)"}

// fresh returns the random mark that a write leaves on its item in the
// attribute w. When the condition of a write fails, the mark on the item that
// is there tells whether an earlier try of this very write put it, whose answer
// was lost: only then the SDK's retry meets its own work.
func fresh() []byte {
	mark := make([]byte, 6)
	rand.Read(mark)
	return mark
}

func marked(it item, mark []byte) bool { return string(it.bytes("w")) == string(mark) }

// put puts an item. If the condition fails, it returns the item that is there
// (empty if none is) and false.
func (s *Store) put(ctx context.Context, it item, cond condition) (there item, ok bool, err error) {
	in := &dynamodb.PutItemInput{TableName: s.table, Item: it}
	if cond.expr != "" {
		in.ConditionExpression = &cond.expr
		in.ExpressionAttributeNames = cond.names
		in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
		if len(cond.values) > 0 {
			in.ExpressionAttributeValues = cond.values
		}
	}
	_, err = s.client.PutItem(ctx, in)
	if failed, is := errors.AsType[*types.ConditionalCheckFailedException](err); is {
		return failed.Item, false, nil
	}
	return nil, err == nil, err
}

// putMarked is put with a mark: a condition that only the item's own earlier
// try makes fail counts as held.
func (s *Store) putMarked(ctx context.Context, it item, cond condition) (there item, ok bool, err error) {
	mark := fresh()
	it.setBytes("w", mark)
	there, ok, err = s.put(ctx, it, cond)
	if err == nil && !ok && marked(there, mark) {
		return nil, true, nil
	}
	return there, ok, err
}

// update runs an update expression under a condition, with the values and names
// of both in cond. It returns what want asks for, or, if the condition fails,
// the item that is there (empty if none is) and false.
func (s *Store) update(ctx context.Context, k key, expr string, cond condition, want types.ReturnValue) (it item, ok bool, err error) {
	in := &dynamodb.UpdateItemInput{
		TableName: s.table, Key: k.attributes(), UpdateExpression: &expr,
		ExpressionAttributeNames: cond.names, ReturnValues: want,
	}
	if len(cond.values) > 0 {
		in.ExpressionAttributeValues = cond.values
	}
	if cond.expr != "" {
		in.ConditionExpression = &cond.expr
		in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	}
	out, err := s.client.UpdateItem(ctx, in)
	if failed, is := errors.AsType[*types.ConditionalCheckFailedException](err); is {
		return failed.Item, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return out.Attributes, true, nil
}

// item reads one item; nil if it is not there.
func (s *Store) item(ctx context.Context, k key, consistent bool) (item, error) {
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: s.table, Key: k.attributes(), ConsistentRead: aws.Bool(consistent)})
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}

// items reads many items and returns those that are there.
func (s *Store) items(ctx context.Context, keys []key, consistent bool) (map[key]item, error) {
	found := make(map[key]item, len(keys))
	keys = slices.Clone(keys)
	slices.SortFunc(keys, func(a, b key) int { return cmp.Or(strings.Compare(a.pk, b.pk), strings.Compare(a.sk, b.sk)) })
	keys = slices.Compact(keys)
	for len(keys) > 0 {
		n := min(len(keys), 100)
		batch := types.KeysAndAttributes{ConsistentRead: aws.Bool(consistent)}
		for _, k := range keys[:n] {
			batch.Keys = append(batch.Keys, k.attributes())
		}
		keys = keys[n:]
		request := map[string]types.KeysAndAttributes{*s.table: batch}
		for round := 0; len(request) > 0; round++ {
			if round == maxRounds {
				return nil, fmt.Errorf("%d items not read: the table is throttled", len(request[*s.table].Keys))
			}
			if err := pause(ctx, round); err != nil {
				return nil, err
			}
			out, err := s.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: request})
			if err != nil {
				return nil, err
			}
			for _, raw := range out.Responses[*s.table] {
				it := item(raw)
				found[it.key()] = it
			}
			request = out.UnprocessedKeys
		}
	}
	return found, nil
}

// transact runs writes that all happen or none. It returns the index of the
// first whose condition failed, or -1. The token that the SDK adds makes a
// retry after a lost answer safe.
func (s *Store) transact(ctx context.Context, writes ...types.TransactWriteItem) (failed int, err error) {
	_, err = s.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	if cancelled, is := errors.AsType[*types.TransactionCanceledException](err); is {
		for i, reason := range cancelled.CancellationReasons {
			if aws.ToString(reason.Code) == "ConditionalCheckFailed" {
				return i, nil
			}
		}
	}
	return -1, err
}

// txWrite is a write of a transaction and what it means if its condition fails.
type txWrite struct {
	write  types.TransactWriteItem
	refuse error
}

// transactAll is transact with an error for each condition.
func (s *Store) transactAll(ctx context.Context, writes []txWrite) error {
	items := make([]types.TransactWriteItem, len(writes))
	for i, w := range writes {
		items[i] = w.write
	}
	failed, err := s.transact(ctx, items...)
	if failed >= 0 {
		return writes[failed].refuse
	}
	return err
}

func (s *Store) transactPut(it item, cond condition) types.TransactWriteItem {
	put := &types.Put{TableName: s.table, Item: it, ExpressionAttributeNames: cond.names}
	if cond.expr != "" {
		put.ConditionExpression = &cond.expr
	}
	if len(cond.values) > 0 {
		put.ExpressionAttributeValues = cond.values
	}
	return types.TransactWriteItem{Put: put}
}

func (s *Store) transactUpdate(k key, expr string, cond condition) types.TransactWriteItem {
	update := &types.Update{
		TableName: s.table, Key: k.attributes(), UpdateExpression: &expr,
		ExpressionAttributeNames: cond.names,
	}
	if cond.expr != "" {
		update.ConditionExpression = &cond.expr
	}
	if len(cond.values) > 0 {
		update.ExpressionAttributeValues = cond.values
	}
	return types.TransactWriteItem{Update: update}
}

func (s *Store) transactDelete(k key, cond condition) types.TransactWriteItem {
	del := &types.Delete{TableName: s.table, Key: k.attributes()}
	if cond.expr != "" {
		del.ConditionExpression = &cond.expr
	}
	if len(cond.values) > 0 {
		del.ExpressionAttributeValues = cond.values
	}
	return types.TransactWriteItem{Delete: del}
}

// pause waits before a further round, about 5 ms more for each and at random.
func pause(ctx context.Context, round int) error {
	if round == 0 {
		return ctx.Err()
	}
	wait := time.NewTimer(mrand.N(time.Duration(round*10) * time.Millisecond))
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
		return nil
	}
}

// cutoff is the Unix millisecond at or before which whatever was created has
// expired.
func (s *Store) cutoff() int64 { return s.now().Add(-s.retention).UnixMilli() }

// shardOf returns the shard that something with this identity is written to.
func (s *Store) shardOf(id string) int { return int(hash(id)) & (s.shards - 1) }

// shardsOf returns the shards in which something with this identity can be: the
// one it is written to now, and those of lower shard counts.
func (s *Store) shardsOf(id string) []int {
	h := int(hash(id))
	var shards []int
	for n := s.shards; n >= DefaultShards; n /= 2 {
		if sh := h & (n - 1); len(shards) == 0 || shards[len(shards)-1] != sh {
			shards = append(shards, sh)
		}
	}
	return shards
}

func hash(id string) uint32 {
	h := fnv.New64a()
	h.Write([]byte(id))
	sum := h.Sum64()
	return uint32(sum>>32) ^ uint32(sum)
}

func sharded(prefix, owner string, shard int) string {
	return prefix + owner + "#" + strconv.Itoa(shard)
}

// damaged is the error for an item that does not read as what it should be.
func damaged(k key, what string) error {
	return fmt.Errorf("item %s %s is damaged: %s", k.pk, k.sk, what)
}
