package sqsqueue_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"hookferry/shared/awstest"
	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

func TestQueueKeepsItsPromisesWhileRequestsFail(t *testing.T) {
	t.Parallel()
	url := awstest.StartSQS(t)
	var mu sync.Mutex
	var all []*awstest.Faults
	t.Run("under faults", func(t *testing.T) {
		relaytest.TestQueue(t, func(t testing.TB, _ *relaytest.Clock) relaytest.Lane {
			mu.Lock()
			defer mu.Unlock()
			// No answers are lost: the suite takes a message that is sent or
			// counted twice for a fault of the queue, as it is here.
			faults := awstest.Seeded(uint64(len(all)), map[awstest.Fault]int{awstest.Throttled: 100, awstest.Broken: 100})
			faults.Spare = 3
			all = append(all, faults)
			return lane(t, url, func(o *sqs.Options) { o.APIOptions = append(o.APIOptions, faults.AddTo) })
		}, relaytest.QueueOptions{RealTime: true, NoDeadAt: true})
	})
	struck := 0
	for _, f := range all {
		struck += f.Happened(awstest.Throttled) + f.Happened(awstest.Broken)
	}
	if struck < 20 {
		t.Errorf("only %d requests failed: the test did not test", struck)
	}
}

func TestNoMessageIsLostWhileAnswersAre(t *testing.T) {
	t.Parallel()
	url := awstest.StartSQS(t)
	faults := awstest.Seeded(7, map[awstest.Fault]int{awstest.Lost: 300})
	faults.Spare = 2
	q := lane(t, url, func(o *sqs.Options) { o.APIOptions = append(o.APIOptions, faults.AddTo) })
	msgs := outgoing(200, 50)
	if err := q.Send(t.Context(), msgs...); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int)
	// What a lost answer to a receive has hidden comes again after a second.
	for empty := 0; empty < 3; {
		received, err := q.Receive(t.Context(), relay.MaxBatch, time.Second, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if len(received) == 0 {
			empty++
			continue
		}
		empty = 0
		for _, m := range received {
			got[string(m.Body)]++
		}
		if err := q.Delete(t.Context(), received...); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range msgs {
		if got[string(m.Body)] == 0 {
			t.Errorf("%.3s was lost", m.Body)
		}
	}
	if faults.Happened(awstest.Lost) < 5 {
		t.Errorf("only %d answers were lost: the test did not test", faults.Happened(awstest.Lost))
	}
}

func TestCallsOnAQueueThatDoesNotAnswerEnd(t *testing.T) {
	t.Parallel()
	url := awstest.StartSQS(t)
	for fault, calls := range map[awstest.Fault]int{awstest.Throttled: 5, awstest.Broken: 5, awstest.Stalled: 1} {
		faults := &awstest.Faults{Stall: time.Hour, Decide: func(op string, _ int) awstest.Fault { return fault }}
		q := lane(t, url, func(o *sqs.Options) { o.APIOptions = append(o.APIOptions, faults.AddTo) })
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		began := time.Now()
		err := q.Send(ctx, outgoing(2, 10)...)
		cancel()
		if partly, ok := errors.AsType[*relay.SendError](err); !ok || len(partly.Failed) != 2 {
			t.Errorf("fault %d: got %v, want both messages named", fault, err)
		}
		if took, got := time.Since(began), faults.Happened(fault); took > 4*time.Second || got != calls {
			t.Errorf("fault %d: %d requests in %v, want %d", fault, got, took, calls)
		}
	}
}
