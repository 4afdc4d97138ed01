package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"hookferry/shared/relay"
)

const (
	// batchEntries is how many messages SQS takes in one request.
	batchEntries = 10
	// maxWait is how long SQS waits in one receive.
	maxWait = 20 * time.Second
	// maxHide is the longest visibility timeout, longHide what is left of it
	// after any receive of ours.
	maxHide  = 12 * time.Hour
	longHide = 11 * time.Hour
	// sendRounds is how often an entry is sent that SQS itself failed at.
	sendRounds = 3
	// inFlight is how many requests one call has on the way at a time.
	inFlight = 8
)

// Config says which queues a Queue is.
type Config struct {
	// URL is the queue's; DeadURL its dead-letter queue's.
	URL, DeadURL string
	// NoGroups leaves out the MessageGroupId, by which SQS keeps one busy tenant
	// from holding up the others of a standard queue. Some servers that stand in
	// for SQS refuse it.
	NoGroups bool
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Queue is a lane of messages. It is safe for concurrent use.
type Queue struct {
	client *sqs.Client
	cfg    Config
}

var (
	_ relay.Queue       = (*Queue)(nil)
	_ relay.DeadLetters = (*Queue)(nil)
)

// New returns the lane on the queues that cfg names, which must exist. It uses
// the client's settings but for its retries: requests that were throttled or not
// answered are made again, four times at most and half a second apart at most.
func New(client *sqs.Client, cfg Config) *Queue {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	options := client.Options()
	options.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = 5
		o.Backoff = retry.BackoffDelayerFunc(backoff)
	})
	return &Queue{client: sqs.New(options), cfg: cfg}
}

// backoff returns a random wait of up to 25 ms before the second request, twice
// that before the third, and so on, up to half a second.
func backoff(attempt int, _ error) (time.Duration, error) {
	return rand.N(min(25*time.Millisecond<<min(attempt, 8), 500*time.Millisecond)), nil
}

// entry is one message of a Send.
type entry struct {
	index int
	types.SendMessageBatchRequestEntry
}

// Send implements relay.Queue.
func (q *Queue) Send(ctx context.Context, msgs ...relay.Outgoing) error {
	failed := make(map[int]error)
	var entries []entry
	for i, m := range msgs {
		body := pack(m.Body)
		switch {
		case m.Delay > relay.MaxDelay:
			failed[i] = fmt.Errorf("a delay of %s is over %s", m.Delay, relay.MaxDelay)
			continue
		case len(body) > relay.MaxMessageSize:
			failed[i] = fmt.Errorf("a body of %d bytes: %w", len(body), relay.ErrTooLarge)
			continue
		}
		e := entry{index: i}
		e.MessageBody = &body
		e.DelaySeconds = wholeSeconds(m.Delay)
		if m.Group != "" && !q.cfg.NoGroups {
			e.MessageGroupId = &m.Group
		}
		entries = append(entries, e)
	}

	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		slot = make(chan struct{}, inFlight)
	)
	for _, batch := range batches(entries) {
		slot <- struct{}{}
		wg.Go(func() {
			defer func() { <-slot }()
			errs := q.sendBatch(ctx, batch)
			mu.Lock()
			defer mu.Unlock()
			for i, err := range errs {
				failed[i] = err
			}
		})
	}
	wg.Wait()
	if len(failed) > 0 {
		return &relay.SendError{Failed: failed}
	}
	return nil
}

// batches cuts entries into requests that SQS takes: 10 messages, 1 MiB in all.
func batches(entries []entry) [][]entry {
	var cut [][]entry
	size := 0
	for _, e := range entries {
		n := len(*e.MessageBody)
		if len(cut) == 0 || len(cut[len(cut)-1]) == batchEntries || size+n > relay.MaxMessageSize {
			cut = append(cut, nil)
			size = 0
		}
		cut[len(cut)-1] = append(cut[len(cut)-1], e)
		size += n
	}
	return cut
}

// sendBatch sends one batch and returns what is not on the queue, by index.
func (q *Queue) sendBatch(ctx context.Context, batch []entry) map[int]error {
	failed := make(map[int]error)
	for round := 1; len(batch) > 0; round++ {
		in := &sqs.SendMessageBatchInput{QueueUrl: &q.cfg.URL}
		waiting := make(map[string]entry, len(batch))
		for _, e := range batch {
			id := strconv.Itoa(e.index)
			e.Id = &id
			waiting[id] = e
			in.Entries = append(in.Entries, e.SendMessageBatchRequestEntry)
		}
		out, err := q.client.SendMessageBatch(ctx, in)
		if err != nil {
			for _, e := range batch {
				failed[e.index] = err
			}
			return failed
		}
		for _, done := range out.Successful {
			delete(waiting, aws.ToString(done.Id))
		}
		batch = nil
		errs := make(map[int]error)
		for _, refused := range out.Failed {
			e, ok := waiting[aws.ToString(refused.Id)]
			if !ok {
				continue
			}
			delete(waiting, aws.ToString(refused.Id))
			errs[e.index] = entryError(refused)
			if refused.SenderFault || round == sendRounds {
				failed[e.index] = errs[e.index]
				continue
			}
			batch = append(batch, e)
		}
		// An entry that the answer does not name must not count as sent.
		for _, e := range waiting {
			failed[e.index] = errors.New("the queue did not answer for this message")
		}
		if len(batch) > 0 && !sleep(ctx, round) {
			for _, e := range batch {
				failed[e.index] = errs[e.index]
			}
			return failed
		}
	}
	return failed
}

func entryError(e types.BatchResultErrorEntry) error {
	return fmt.Errorf("%s: %s", aws.ToString(e.Code), aws.ToString(e.Message))
}

// sleep waits before the round after this one, and reports false if the context
// ends first.
func sleep(ctx context.Context, round int) bool {
	t := time.NewTimer(time.Duration(round)*50*time.Millisecond + rand.N(50*time.Millisecond))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// wholeSeconds rounds up, so that nothing comes before its time.
func wholeSeconds(d time.Duration) int32 {
	return int32((max(d, 0) + time.Second - 1) / time.Second)
}

var (
	systemAttributes = []types.MessageSystemAttributeName{
		types.MessageSystemAttributeNameApproximateReceiveCount, types.MessageSystemAttributeNameSentTimestamp,
	}
	messageAttributes = []string{reasonAttribute}
)

// Receive implements relay.Queue. Times are rounded up to whole seconds, and a
// message is hidden for at least one.
func (q *Queue) Receive(ctx context.Context, limit int, wait, visibility time.Duration) ([]relay.Received, error) {
	raw, err := q.receive(ctx, q.cfg.URL, limit, wait, visibility)
	if err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	msgs := make([]relay.Received, len(raw))
	for i, m := range raw {
		msgs[i] = Message(aws.ToString(m.MessageId), aws.ToString(m.ReceiptHandle), aws.ToString(m.Body), m.Attributes)
	}
	return msgs, nil
}

func (q *Queue) receive(ctx context.Context, url string, limit int, wait, visibility time.Duration) ([]types.Message, error) {
	for {
		step := min(wait, maxWait)
		wait -= step
		out, err := q.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl:                    &url,
			MaxNumberOfMessages:         int32(min(max(limit, 1), relay.MaxBatch)),
			WaitTimeSeconds:             wholeSeconds(step),
			VisibilityTimeout:           max(wholeSeconds(min(visibility, maxHide)), 1),
			MessageSystemAttributeNames: systemAttributes,
			MessageAttributeNames:       messageAttributes,
		})
		if err != nil {
			return nil, err
		}
		if len(out.Messages) > 0 || wait <= 0 {
			return out.Messages, nil
		}
	}
}

// Message returns what a Lambda is given of a message: the fields of one record
// of an SQS event, with the system attributes by name.
func Message(id, receipt, body string, attributes map[string]string) relay.Received {
	return relay.Received{
		ID: id, Receipt: receipt, Body: unpack(body),
		Receives: int(number(attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])),
		SentAt:   sentAt(attributes),
	}
}

func sentAt(attributes map[string]string) time.Time {
	ms := number(attributes[string(types.MessageSystemAttributeNameSentTimestamp)])
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// number reads an attribute that SQS writes; 0 if it is not there.
func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Delete implements relay.Queue.
func (q *Queue) Delete(ctx context.Context, msgs ...relay.Received) error {
	var errs []error
	for len(msgs) > 0 {
		n := min(len(msgs), batchEntries)
		if err := q.deleteBatch(ctx, msgs[:n]); err != nil {
			errs = append(errs, err)
		}
		msgs = msgs[n:]
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

func (q *Queue) deleteBatch(ctx context.Context, msgs []relay.Received) error {
	for round := 1; ; round++ {
		in := &sqs.DeleteMessageBatchInput{QueueUrl: &q.cfg.URL}
		for i, m := range msgs {
			in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &m.Receipt,
			})
		}
		out, err := q.client.DeleteMessageBatch(ctx, in)
		if err != nil {
			return err
		}
		var errs []error
		var again []relay.Received
		for _, f := range out.Failed {
			i := number(aws.ToString(f.Id))
			if aws.ToString(f.Code) == gone || i >= int64(len(msgs)) {
				continue
			}
			errs = append(errs, entryError(f))
			if !f.SenderFault {
				again = append(again, msgs[i])
			}
		}
		if len(again) == 0 || len(again) < len(errs) || round == sendRounds || !sleep(ctx, round) {
			return errors.Join(errs...)
		}
		msgs = again
	}
}

// gone is the code for a receipt that is no longer good: the message has been
// deleted, or received by another since.
const gone = "ReceiptHandleIsInvalid"

// Hide implements relay.Queue. A message that is no longer hidden at all stays
// visible, without an error. SQS counts its 12 hours from the receive, so a time
// that it finds over them is cut to 11 hours.
func (q *Queue) Hide(ctx context.Context, msg relay.Received, d time.Duration) error {
	if d < 0 || d > maxHide {
		return fmt.Errorf("hide: %s is not within 0 and %s", d, maxHide)
	}
	err := q.hide(ctx, msg, d)
	if code(err) == "InvalidParameterValue" && d > longHide {
		err = q.hide(ctx, msg, longHide)
	}
	if err != nil && code(err) != notHidden {
		return fmt.Errorf("hide: %w", err)
	}
	return nil
}

func (q *Queue) hide(ctx context.Context, msg relay.Received, d time.Duration) error {
	_, err := q.client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &q.cfg.URL, ReceiptHandle: &msg.Receipt, VisibilityTimeout: wholeSeconds(d),
	})
	return err
}

// code returns the code of an error that SQS answered with, without the prefix
// that the older of its two protocols has.
func code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return strings.TrimPrefix(api.ErrorCode(), "AWS.SimpleQueueService.")
	}
	return ""
}

const notHidden = "MessageNotInflight"
