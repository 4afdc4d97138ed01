package dynamo_test

import (
	"context"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"

	"hookferry/shared/awstest"
	"hookferry/shared/dynamo"
	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

// Every promise must hold as well while one request in eight is throttled,
// breaks, or takes effect without an answer: what the SDK makes again must not
// be taken for somebody else's work.
func TestStoreKeepsItsPromisesWhileRequestsFail(t *testing.T) {
	url := newTable(t)
	var mu sync.Mutex
	var all []*awstest.Faults
	t.Run("under faults", func(t *testing.T) {
		relaytest.TestStore(t, func(t testing.TB, clock *relaytest.Clock) relay.Store {
			mu.Lock()
			defer mu.Unlock()
			faults := awstest.Seeded(uint64(len(all)), map[awstest.Fault]int{
				awstest.Throttled: 20, awstest.Broken: 20, awstest.Lost: 80})
			faults.Spare = 2
			all = append(all, faults)
			return counting{Store: open(url, clock.Now, with(faults.AddTo)), calm: open(url, clock.Now)}
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
