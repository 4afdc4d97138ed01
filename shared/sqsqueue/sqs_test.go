package sqsqueue_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"hookferry/shared/awstest"
	"hookferry/shared/relay/relaytest"
	"hookferry/shared/sqsqueue"
)

var lanes atomic.Int64

// open makes a lane of its own on the server at the URL.
func open(t testing.TB, url string) *sqsqueue.Queue {
	t.Helper()
	client := awstest.SQS(url)
	urls, err := sqsqueue.CreateQueues(t.Context(), client, fmt.Sprint("lane-", lanes.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	return sqsqueue.New(client, sqsqueue.Config{URL: urls.Events, DeadURL: urls.EventsDead})
}

func TestQueueKeepsItsPromises(t *testing.T) {
	url := awstest.StartSQS(t)
	relaytest.TestQueue(t, func(t testing.TB, _ *relaytest.Clock) relaytest.Lane { return open(t, url) },
		relaytest.QueueOptions{RealTime: true, NoDeadAt: true})
}
