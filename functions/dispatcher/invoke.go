package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"hookferry/shared/relay"
	"hookferry/shared/sqsqueue"
)

// A lane is a queue, and what handles a batch of it: the ids it returns must
// come again, SQS deletes the others.
type lane struct {
	queue  relay.Queue
	handle func(context.Context, relay.Queue, []relay.Received) (failed []string)
}

// A function is what Lambda invokes.
type function struct {
	lanes map[string]lane // by the queue's name
	flush func(context.Context)
	thaw  func() // called first: the process may have been frozen
}

// invoke handles a batch, or flushes when the event has no Records. An error makes
// the whole batch come again; one is returned only for a queue that is not ours.
func (f function) invoke(ctx context.Context, ev events.SQSEvent) (events.SQSEventResponse, error) {
	f.thaw()
	if len(ev.Records) == 0 {
		f.flush(ctx)
		return events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}, nil
	}
	source := ev.Records[0].EventSourceARN // a batch is of one queue
	l, ok := f.lanes[source[strings.LastIndexByte(source, ':')+1:]]
	if !ok {
		return events.SQSEventResponse{}, fmt.Errorf("a batch of %s, which is neither queue of ours", source)
	}
	batch := make([]relay.Received, len(ev.Records))
	for i, r := range ev.Records {
		if r.EventSourceARN != source {
			return events.SQSEventResponse{}, errors.New("a batch of two queues")
		}
		batch[i] = sqsqueue.Message(r.MessageId, r.ReceiptHandle, r.Body, r.Attributes)
	}
	// An empty list says that all went well, null says nothing: not every reader of
	// it takes the one for the other.
	resp := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	for _, id := range l.handle(ctx, l.queue, batch) {
		resp.BatchItemFailures = append(resp.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: id})
	}
	return resp, nil
}

// queueName returns the name that ends a queue's URL, and its ARN too.
func queueName(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }
