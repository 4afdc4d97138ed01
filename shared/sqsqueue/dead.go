package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"hookferry/shared/relay"
)

// reasonAttribute says why a message was buried.
const reasonAttribute = "Reason"

// maxReason is how much of a reason is kept.
const maxReason = 1024

// deadHidden is how long a dead message that was listed is hidden from others.
const deadHidden = 30 * time.Second

// reasonText returns a reason as an attribute's value, without what SQS refuses
// and within room bytes; empty if there is none left.
func reasonText(reason string, room int) string {
	room = min(room, maxReason)
	var kept strings.Builder
	for _, r := range reason {
		if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff {
			r = utf8.RuneError
		}
		if kept.Len()+utf8.RuneLen(r) > room {
			break
		}
		kept.WriteRune(r)
	}
	return kept.String()
}

// Bury implements relay.Queue. Of a reason over 1,024 bytes the rest is lost, and
// characters that SQS refuses become U+FFFD.
func (q *Queue) Bury(ctx context.Context, msg relay.Received, reason string) error {
	body := pack(msg.Body)
	in := &sqs.SendMessageInput{QueueUrl: &q.cfg.DeadURL, MessageBody: &body}
	room := relay.MaxMessageSize - len(body) - len(reasonAttribute) - len("String")
	if text := reasonText(reason, room); text != "" {
		in.MessageAttributes = map[string]types.MessageAttributeValue{
			reasonAttribute: {DataType: aws.String("String"), StringValue: &text},
		}
	}
	if _, err := q.client.SendMessage(ctx, in); err != nil {
		return fmt.Errorf("bury: %w", err)
	}
	return nil
}

// Dead implements relay.DeadLetters.
func (q *Queue) Dead(ctx context.Context, _ string, limit int) ([]relay.DeadLetter, error) {
	var dead []relay.DeadLetter
	seen := make(map[string]bool)
	for len(dead) < limit {
		raw, err := q.receive(ctx, q.cfg.DeadURL, limit-len(dead), time.Second, deadHidden)
		if err != nil {
			return nil, fmt.Errorf("list dead messages: %w", err)
		}
		if len(raw) == 0 {
			break
		}
		for _, m := range raw {
			if id := aws.ToString(m.MessageId); !seen[id] {
				seen[id] = true
				dead = append(dead, deadLetter(m))
			}
		}
	}
	return dead, nil
}

func deadLetter(m types.Message) relay.DeadLetter {
	r := Message(aws.ToString(m.MessageId), aws.ToString(m.ReceiptHandle), aws.ToString(m.Body), m.Attributes)
	d := relay.DeadLetter{ID: r.ID, Receipt: r.Receipt, Body: r.Body, Receives: r.Receives}
	if reason, ok := m.MessageAttributes[reasonAttribute]; ok {
		// A message that we buried was sent there at that moment; one that the
		// queue moved keeps the time of its first send.
		d.Reason, d.DeadAt = aws.ToString(reason.StringValue), r.SentAt
	}
	return d
}

// Release implements relay.DeadLetters.
func (q *Queue) Release(ctx context.Context, ds ...relay.DeadLetter) error {
	for _, d := range ds {
		_, err := q.client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
			QueueUrl: &q.cfg.DeadURL, ReceiptHandle: &d.Receipt, VisibilityTimeout: 0,
		})
		if err != nil && code(err) != notHidden {
			return fmt.Errorf("release a dead message: %w", err)
		}
	}
	return nil
}

// Redrive implements relay.DeadLetters.
func (q *Queue) Redrive(ctx context.Context, d relay.DeadLetter) error {
	out := relay.Outgoing{Body: d.Body}
	if m, err := relay.DecodeMessage(d.Body); err == nil {
		out.Group = m.Outgoing(q.cfg.Now()).Group
	}
	if err := q.Send(ctx, out); err != nil {
		return fmt.Errorf("redrive: %w", err)
	}
	return q.Drop(ctx, d)
}

// Drop implements relay.DeadLetters.
func (q *Queue) Drop(ctx context.Context, d relay.DeadLetter) error {
	_, err := q.client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &q.cfg.DeadURL, ReceiptHandle: &d.Receipt})
	if _, is := errors.AsType[*types.ReceiptHandleIsInvalid](err); is {
		return nil
	}
	if err != nil {
		return fmt.Errorf("drop a dead message: %w", err)
	}
	return nil
}

var counted = []types.QueueAttributeName{
	types.QueueAttributeNameApproximateNumberOfMessages,
	types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
	types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
}

// DeadCount implements relay.DeadLetters.
func (q *Queue) DeadCount(ctx context.Context) (int, error) {
	out, err := q.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &q.cfg.DeadURL, AttributeNames: counted})
	if err != nil {
		return 0, fmt.Errorf("count dead messages: %w", err)
	}
	n := 0
	for _, name := range counted {
		n += int(number(out.Attributes[string(name)]))
	}
	return n, nil
}
