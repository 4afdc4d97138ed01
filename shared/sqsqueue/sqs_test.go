package sqsqueue_test

import (
	"crypto/rand"
	"flag"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"hookferry/shared/awstest"
	"hookferry/shared/relay/relaytest"
	"hookferry/shared/sqsqueue"
)

// The tests wait for another process most of the time, so more of them run at
// once than there are processors.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// lane makes a lane of its own on the server at the URL, with a client that has
// the options.
func lane(t testing.TB, url string, options ...func(*sqs.Options)) *sqsqueue.Queue {
	t.Helper()
	urls, err := sqsqueue.CreateQueues(t.Context(), awstest.SQS(url), rand.Text())
	if err != nil {
		t.Fatal(err)
	}
	return sqsqueue.New(awstest.SQS(url, options...), sqsqueue.Config{URL: urls.Events, DeadURL: urls.EventsDead})
}

func TestQueueKeepsItsPromises(t *testing.T) {
	t.Parallel()
	url := awstest.StartSQS(t)
	relaytest.TestQueue(t, func(t testing.TB, _ *relaytest.Clock) relaytest.Lane { return lane(t, url) },
		relaytest.QueueOptions{RealTime: true, NoDeadAt: true})
}
