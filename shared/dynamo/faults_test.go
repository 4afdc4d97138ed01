package dynamo_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"

	"hookferry/shared/awstest"
	"hookferry/shared/dynamo"
	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

// Every promise must hold as well while one request in eight is throttled,
// breaks, or takes effect without an answer: what the SDK makes again must not
// be taken for somebody else's work. Above that, reads are as stale and pages as
// short as the port allows, which the server here never lets them be.
func TestStoreKeepsItsPromisesWhileRequestsFail(t *testing.T) {
	t.Parallel()
	url := newTable(t)
	var mu sync.Mutex
	var all []*awstest.Faults
	t.Run("under faults", func(t *testing.T) {
		relaytest.TestStore(t, func(t testing.TB, clock *relaytest.Clock) relay.Store {
			mu.Lock()
			defer mu.Unlock()
			faults := awstest.Seeded(uint64(len(all)), map[awstest.Fault]int{
				awstest.Throttled: 20, awstest.Broken: 20, awstest.Lost: 80,
			})
			faults.Spare = 2
			all = append(all, faults)
			s := counting{Store: open(url, clock.Now, with(faults.AddTo)), calm: open(url, clock.Now)}
			return relaytest.FaultyStore(s, relaytest.NewDice(uint64(len(all))), relaytest.Weak(), clock.Now)
		})
	})
	lost := 0
	for _, f := range all {
		lost += f.Happened(awstest.Lost)
	}
	if lost < 100 {
		t.Errorf("only %d answers were lost: the test did not test", lost)
	}
}

// counting counts on a store without faults: counters are best effort, and an
// outcome counts twice if its answer was lost and another came between.
type counting struct {
	*dynamo.Store
	calm *dynamo.Store
}

func (c counting) AddOutcomes(ctx context.Context, endpoint string, o relay.Outcomes) (relay.Counters, error) {
	return c.calm.AddOutcomes(ctx, endpoint, o)
}

// with adds middleware to a client.
func with(options ...func(*middleware.Stack) error) func(*dynamodb.Options) {
	return func(o *dynamodb.Options) { o.APIOptions = append(o.APIOptions, options...) }
}

// once loses the answer to the first request of every kind.
func once() *awstest.Faults {
	return &awstest.Faults{Decide: func(_ string, n int) awstest.Fault {
		if n == 0 {
			return awstest.Lost
		}
		return awstest.None
	}}
}

func TestAWriteWhoseAnswerIsLostIsNotTakenForAnothers(t *testing.T) {
	t.Parallel()
	url := newTable(t)
	ctx, clock := t.Context(), relaytest.NewClock()
	now := clock.Now()
	account := relay.NewID(relay.AccountPrefix, now)
	calm := open(url, clock.Now)
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	event := func(t *testing.T) relay.EventRecord {
		return relay.EventRecord{Event: relay.Event{
			ID: relay.NewID(relay.EventPrefix, now), Account: account, Type: "a.b",
			CreatedAt: now,
		}, MID: relay.NewMID(), ClaimedUntil: now.Add(time.Minute), Matched: []string{"whend_1"}}
	}
	endpoint := func() relay.Endpoint {
		return relay.Endpoint{ID: relay.NewID(relay.EndpointPrefix, now), Account: account, CreatedAt: now, Status: relay.Active}
	}
	source := func() relay.Source {
		return relay.Source{ID: relay.NewID(relay.SourcePrefix, now), Account: account, CreatedAt: now}
	}
	key := func() relay.Key {
		return relay.Key{
			ID: relay.NewID(relay.KeyPrefix, now), Account: account, CreatedAt: now,
			Hash: relay.HashSecret(relay.NewAPIKey()), Scopes: relay.Scopes(),
		}
	}

	for _, c := range []struct {
		name string
		test func(t *testing.T, s *dynamo.Store)
	}{
		{"put event", func(t *testing.T, s *dynamo.Store) {
			r := event(t)
			existing, err := s.PutEvent(ctx, r)
			must(t, err)
			if existing != nil {
				t.Errorf("the event that this call put is said to have been there")
			}
			// A copy of the message in another invocation, to the millisecond.
			if existing, err = s.PutEvent(ctx, r); err != nil || existing == nil {
				t.Errorf("a second put of the event: got %v, %v, want the first", existing, err)
			}
		}},
		{"claim event", func(t *testing.T, s *dynamo.Store) {
			r := event(t)
			_, err := calm.PutEvent(ctx, r)
			must(t, err)
			until := now.Add(2 * time.Minute)
			must(t, s.ClaimEvent(ctx, r.Ref(), r.ClaimedUntil, until))
			if err := s.ClaimEvent(ctx, r.Ref(), r.ClaimedUntil, until); !errors.Is(err, relay.ErrConflict) {
				t.Errorf("a second claim from the same time: got %v, want ErrConflict", err)
			}
		}},
		{"list event", func(t *testing.T, s *dynamo.Store) {
			r := event(t)
			_, err := calm.PutEvent(ctx, r)
			must(t, err)
			d := relay.Delivery{EndpointID: "whend_1", Attempts: 1, Status: relay.DeliveryFailed}
			must(t, s.ListEvent(ctx, r.Event, []relay.Delivery{d}))
			ds, listed, err := calm.Deliveries(ctx, r)
			must(t, err)
			if want := []relay.Delivery{d}; !listed || !slices.Equal(ds, want) {
				t.Errorf("got %v, listed %v, want %v", ds, listed, want)
			}
		}},
		{"record attempt", func(t *testing.T, s *dynamo.Store) {
			r := event(t)
			a := attempt(r, "whend_1", now, true)
			existing, err := s.RecordAttempt(ctx, a)
			must(t, err)
			if existing != nil {
				t.Errorf("the attempt that this call recorded is said to have been there")
			}
			if existing, err = s.RecordAttempt(ctx, a); err != nil || existing == nil {
				t.Errorf("a second record of the attempt: got %v, %v, want the first", existing, err)
			}
		}},
		{"start run", func(t *testing.T, s *dynamo.Store) {
			r := event(t)
			_, err := calm.PutEvent(ctx, r)
			must(t, err)
			for number, token := range []string{"one", "two"} {
				run, err := s.StartRun(ctx, account, r.ID, "whend_1", token, now)
				must(t, err)
				if run.Number != number+1 {
					t.Errorf("run %d, want %d", run.Number, number+1)
				}
			}
		}},
		{"idempotency", func(t *testing.T, s *dynamo.Store) {
			r := relay.Idempotency{Account: account, Key: relay.HashSecret("lost"), EventID: "evt_1", ExpiresAt: now.Add(time.Hour)}
			existing, err := s.PutIdempotency(ctx, r)
			must(t, err)
			if existing != nil {
				t.Errorf("the record that this call put is said to have been there")
			}
		}},
		{"counters", func(t *testing.T, s *dynamo.Store) {
			got, err := s.AddOutcomes(ctx, "whend_lost", relay.Outcomes{LastFailureAt: now, FailuresAfter: 3, FailingSince: now})
			must(t, err)
			if got.FailureCount != 3 {
				t.Errorf("3 failures counted as %d", got.FailureCount)
			}
		}},
		{"endpoint", func(t *testing.T, s *dynamo.Store) {
			e := endpoint()
			must(t, s.CreateEndpoint(ctx, e, 100))
			e.Version = 1
			must(t, s.UpdateEndpoint(ctx, e))
			e.Version, e.RevokedAt = 2, now
			must(t, s.UpdateEndpoint(ctx, e))
		}},
		{"source", func(t *testing.T, s *dynamo.Store) {
			src := source()
			must(t, s.CreateSource(ctx, src, 100))
			src.Version = 1
			must(t, s.UpdateSource(ctx, src))
			must(t, s.DeleteSource(ctx, account, src.ID))
		}},
		{"replay", func(t *testing.T, s *dynamo.Store) {
			r := relay.Replay{ID: relay.NewID(relay.ReplayPrefix, now), Account: account, CreatedAt: now}
			must(t, s.CreateReplay(ctx, r))
		}},
		{"replay updated", func(t *testing.T, s *dynamo.Store) {
			r := relay.Replay{ID: relay.NewID(relay.ReplayPrefix, now), Account: account, CreatedAt: now}
			must(t, calm.CreateReplay(ctx, r))
			r.Version = 1
			must(t, s.UpdateReplay(ctx, r))
			if err := s.UpdateReplay(ctx, r); !errors.Is(err, relay.ErrConflict) {
				t.Errorf("a second update of version 1: got %v, want ErrConflict", err)
			}
		}},
		{"expectation", func(t *testing.T, s *dynamo.Store) {
			x := relay.Expectation{Account: account, SourceID: "src_lost", RequestID: "r", CreatedAt: now}
			existing, err := s.PutExpectation(ctx, x, 10)
			must(t, err)
			if existing != nil {
				t.Errorf("the expectation that this call put is said to have been there")
			}
			got, err := s.ResolveExpectation(ctx, "src_lost", "r", "evt_1")
			must(t, err)
			if got.EventID != "evt_1" {
				t.Errorf("resolved by %q, want evt_1", got.EventID)
			}
		}},
		{"account and keys", func(t *testing.T, s *dynamo.Store) {
			must(t, s.CreateAccount(ctx, relay.Account{ID: account, Name: account, CreatedAt: now}))
			first, second := key(), key()
			must(t, calm.CreateKey(ctx, first, 10))
			must(t, s.CreateKey(ctx, second, 10))
			revoked, err := s.RevokeKey(ctx, account, second.ID, now, relay.ScopeKeys)
			must(t, err)
			if revoked.RevokedAt.IsZero() {
				t.Error("the key is not revoked")
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			faults := once()
			c.test(t, open(url, clock.Now, with(faults.AddTo)))
			if faults.Happened(awstest.Lost) == 0 {
				t.Error("no answer was lost: the test did not test")
			}
		})
	}
}

func TestCallsOnATableThatDoesNotAnswerEnd(t *testing.T) {
	t.Parallel()
	url := newTable(t)
	for _, c := range []struct {
		name  string
		fault awstest.Fault
		calls int
	}{
		{"throttled", awstest.Throttled, 5},
		{"broken", awstest.Broken, 5},
		{"stalled", awstest.Stalled, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			faults := &awstest.Faults{Stall: time.Hour, Decide: func(string, int) awstest.Fault { return c.fault }}
			s := open(url, time.Now, with(faults.AddTo))
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			began := time.Now()
			_, err := s.RecordAttempt(ctx, attempt(relay.EventRecord{}, "whend_1", began, false))
			if err == nil {
				t.Fatal("an attempt that was not put is said to be recorded")
			}
			for _, named := range []error{relay.ErrNotFound, relay.ErrExists, relay.ErrConflict, relay.ErrLimit} {
				if errors.Is(err, named) {
					t.Errorf("the failure of the table is reported as %v", named)
				}
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("the call ended after %v", took)
			}
			if got := faults.Happened(c.fault); got != c.calls {
				t.Errorf("%d requests were made, want %d", got, c.calls)
			}
		})
	}
}

// AWS may leave a part of a batch undone when the table is throttled, which the
// server here never does.
func TestPartsOfBatchesThatWereLeftAreAskedForAgain(t *testing.T) {
	t.Parallel()
	url, clock := newTable(t), relaytest.NewClock()
	ctx, calm := t.Context(), open(url, clock.Now)
	left := 0
	s := open(url, clock.Now, with(func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("one at a time",
			func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
				middleware.InitializeOutput, middleware.Metadata, error,
			) {
				var reads map[string]types.KeysAndAttributes
				var writes map[string][]types.WriteRequest
				switch batch := in.Parameters.(type) {
				case *dynamodb.BatchGetItemInput:
					if all := batch.RequestItems[table]; len(all.Keys) > 1 {
						rest := all
						rest.Keys = all.Keys[1:]
						reads = map[string]types.KeysAndAttributes{table: rest}
						all.Keys = all.Keys[:1]
						in.Parameters = &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{table: all}}
					}
				case *dynamodb.BatchWriteItemInput:
					if all := batch.RequestItems[table]; len(all) > 1 {
						writes = map[string][]types.WriteRequest{table: all[1:]}
						in.Parameters = &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{table: all[:1]}}
					}
				}
				out, md, err := next.HandleInitialize(ctx, in)
				switch result := out.Result.(type) {
				case *dynamodb.BatchGetItemOutput:
					result.UnprocessedKeys = reads
				case *dynamodb.BatchWriteItemOutput:
					result.UnprocessedItems = writes
				}
				left += len(reads) + len(writes)
				return out, md, err
			}), middleware.After)
	}))

	var endpoints []string
	for i := range 5 {
		id := fmt.Sprint("whend_", i)
		endpoints = append(endpoints, id)
		if _, err := calm.AddOutcomes(ctx, id, relay.Outcomes{LastFailureAt: clock.Now(), FailuresAfter: i + 1}); err != nil {
			t.Fatal(err)
		}
	}
	counters, err := s.Counters(ctx, endpoints...)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range endpoints {
		if got := counters[id].FailureCount; got != i+1 {
			t.Errorf("counter %d is %d, want %d", i, got, i+1)
		}
	}

	src := relay.Source{ID: "src_1", Account: "acct_1", CreatedAt: clock.Now()}
	if err := calm.CreateSource(ctx, src, 10); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		x := relay.Expectation{Account: "acct_1", SourceID: "src_1", RequestID: fmt.Sprint(i), CreatedAt: clock.Now()}
		if _, err := calm.PutExpectation(ctx, x, 10); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.DeleteSource(ctx, "acct_1", "src_1"); err != nil {
		t.Fatal(err)
	}
	if xs, _, err := calm.Expectations(ctx, "src_1", relay.Page{Limit: 10}); err != nil || len(xs) > 0 {
		t.Errorf("%d expectations of a deleted source are left, %v", len(xs), err)
	}
	if left < 2 {
		t.Errorf("nothing was left undone: the test did not test")
	}
}
