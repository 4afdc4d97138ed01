// Command dispatcher is the Lambda that records events and delivers them. It is
// called by the queues with batches, and on a schedule, with an event that has
// no Records, to write what it has counted and not yet written. It needs TABLE_NAME, the URLs of both queues
// and of their dead-letter queues, and SEALING_KEYRING_SECRET.
package main

import (
	"context"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"hookferry/shared/awsruntime"
	"hookferry/shared/bounds"
	"hookferry/shared/dispatcher"
	"hookferry/shared/egress"
	"hookferry/shared/sivi"
)

func main() {
	rt, err := awsruntime.Start(context.Background(), os.LookupEnv,
		"EVENTS_QUEUE_URL", "RETRIES_QUEUE_URL", "EVENTS_DLQ_URL", "RETRIES_DLQ_URL", "SEALING_KEYRING_SECRET")
	if err != nil {
		awsruntime.Fail(err)
	}
	cfg := rt.Config
	share := bounds.Of(bounds.FileLimit(), bounds.FunctionMemory(os.LookupEnv))
	client := egress.New(egress.Config{ConnectTimeout: cfg.ConnectTimeout, Timeout: cfg.DeliveryTimeout, MaxIdle: share.Idle}) // the strict policy
	d := dispatcher.New(dispatcher.Config{
		Store: rt.Store, Events: rt.Events, Retries: rt.Retries, Keys: rt.Keys, Client: client,
		Schedule: cfg.RetrySchedule, HeaderPrefix: cfg.HeaderPrefix,
		DeliveryTimeout: cfg.DeliveryTimeout, FailingAfter: cfg.FailingAfter, MaxCalls: share.Calls,
		Sivi:        sivi.NewClient(cfg.SiviBaseURL, client),
		ExpectFirst: cfg.ExpectFirst, ExpectGiveUp: cfg.ExpectGiveUp, Retention: cfg.Retention, Now: time.Now, Log: rt.Log,
	})
	lambda.Start(function{
		lanes: map[string]lane{
			queueName(cfg.EventsQueueURL):  {rt.Events, d.Handle},
			queueName(cfg.RetriesQueueURL): {rt.Retries, d.Handle},
		},
		flush: d.Flush, // the counters that no later batch has written
		thaw:  func() { client.Thaw(time.Now()) },
	}.invoke)
}
