package sqsqueue_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go/middleware"

	"hookferry/shared/awstest"
	"hookferry/shared/relay"
	"hookferry/shared/sqsqueue"
)

// spy sees what a client sends, and may change what it is answered.
type spy struct {
	mu    sync.Mutex
	sends []*sqs.SendMessageBatchInput
	// answer, if set, stands in for the server's to the nth batch of sends.
	answer func(n int, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, bool)
}

func (s *spy) addTo(o *sqs.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("spy",
			func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
				middleware.InitializeOutput, middleware.Metadata, error,
			) {
				if batch, ok := in.Parameters.(*sqs.SendMessageBatchInput); ok {
					s.mu.Lock()
					s.sends = append(s.sends, batch)
					n := len(s.sends)
					s.mu.Unlock()
					if s.answer != nil {
						if out, ok := s.answer(n, batch); ok {
							return middleware.InitializeOutput{Result: out}, middleware.Metadata{}, nil
						}
					}
				}
				return next.HandleInitialize(ctx, in)
			}), middleware.After)
	})
}

func outgoing(n, size int) []relay.Outgoing {
	msgs := make([]relay.Outgoing, n)
	for i := range msgs {
		head := fmt.Sprintf("%03d ", i)
		msgs[i] = relay.Outgoing{Body: []byte(head + strings.Repeat("x", size-len(head))), Group: "g"}
	}
	return msgs
}

// drain receives and deletes until nothing comes.
func drain(t testing.TB, q *sqsqueue.Queue) map[string]int {
	t.Helper()
	got := make(map[string]int)
	for {
		msgs, err := q.Receive(t.Context(), relay.MaxBatch, time.Second, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if len(msgs) == 0 {
			return got
		}
		for _, m := range msgs {
			got[string(m.Body)]++
		}
		if err := q.Delete(t.Context(), msgs...); err != nil {
			t.Fatal(err)
		}
	}
}

// fauxqs takes any delay and AWS does not; a message over the limit must not be
// sent, nor keep its neighbours from being sent.
func TestWhatAWSRefusesIsRefusedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	url, s := awstest.StartSQS(t), &spy{}
	q := lane(t, url, s.addTo)
	msgs := outgoing(5, 100)
	msgs[1].Delay = relay.MaxDelay + time.Millisecond
	msgs[3].Body = bytes.Repeat([]byte("y"), relay.MaxMessageSize+1)
	err := q.Send(t.Context(), msgs...)
	partly, ok := errors.AsType[*relay.SendError](err)
	if !ok || len(partly.Failed) != 2 || partly.Failed[1] == nil || !errors.Is(partly.Failed[3], relay.ErrTooLarge) {
		t.Fatalf("got %v, want messages 1 and 3 refused, the last as too large", err)
	}
	if len(s.sends) != 1 || len(s.sends[0].Entries) != 3 {
		t.Fatalf("the others were sent in %d batches", len(s.sends))
	}
	if got := drain(t, q); len(got) != 3 {
		t.Errorf("%d messages are on the queue, want 3", len(got))
	}
}

func TestBatchesKeepToTenMessagesAndOneMebibyte(t *testing.T) {
	t.Parallel()
	url := awstest.StartSQS(t)
	for _, c := range []struct {
		n, size int
		want    []int
	}{
		{25, 100, []int{5, 10, 10}},
		{9, relay.MaxMessageSize / 4, []int{1, 4, 4}},
		{3, relay.MaxMessageSize, []int{1, 1, 1}},
	} {
		t.Run(fmt.Sprintf("%d of %d B", c.n, c.size), func(t *testing.T) {
			s := &spy{}
			q := lane(t, url, s.addTo)
			if err := q.Send(t.Context(), outgoing(c.n, c.size)...); err != nil {
				t.Fatal(err)
			}
			var got []int
			for _, in := range s.sends {
				got = append(got, len(in.Entries))
				for _, e := range in.Entries {
					if aws.ToString(e.MessageGroupId) != "g" {
						t.Errorf("message %s has group %q, want g", *e.Id, aws.ToString(e.MessageGroupId))
					}
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("batches of %v, want %v", got, c.want)
			}
			if got := drain(t, q); len(got) != c.n {
				t.Errorf("%d messages arrived, want %d", len(got), c.n)
			}
		})
	}
}

// fauxqs never refuses a part of a batch; AWS does, and the answer is a success.
func TestAPartlyRefusedBatchIsSettledEntryByEntry(t *testing.T) {
	t.Parallel()
	url := awstest.StartSQS(t)
	for _, c := range []struct {
		name        string
		senderFault bool
		refusals    int // how often message 2 is refused
		silent      bool
		want        bool // message 2 arrives
		batches     int
	}{
		{name: "refused by the server once", refusals: 1, want: true, batches: 2},
		{name: "refused by the server for ever", refusals: 99, batches: 3},
		{name: "refused for what it is", refusals: 99, senderFault: true, batches: 1},
		{name: "left out of the answer", refusals: 99, silent: true, batches: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &spy{}
			direct := awstest.SQS(url)
			s.answer = func(n int, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, bool) {
				if n > c.refusals {
					return nil, false
				}
				out := &sqs.SendMessageBatchOutput{}
				kept := &sqs.SendMessageBatchInput{QueueUrl: in.QueueUrl}
				for _, e := range in.Entries {
					if !strings.HasPrefix(*e.MessageBody, "002") {
						kept.Entries = append(kept.Entries, e)
						continue
					}
					if !c.silent {
						out.Failed = append(out.Failed, types.BatchResultErrorEntry{
							Id: e.Id, Code: aws.String("InternalError"),
							SenderFault: c.senderFault,
						})
					}
				}
				if len(kept.Entries) > 0 {
					sent, err := direct.SendMessageBatch(t.Context(), kept)
					if err != nil {
						t.Error(err)
						return out, true
					}
					out.Successful = sent.Successful
				}
				return out, true
			}
			q := lane(t, url, s.addTo)
			err := q.Send(t.Context(), outgoing(5, 100)...)
			if c.want != (err == nil) {
				t.Fatalf("got %v", err)
			}
			if err != nil {
				partly, ok := errors.AsType[*relay.SendError](err)
				if !ok || len(partly.Failed) != 1 || partly.Failed[2] == nil {
					t.Fatalf("got %v, want message 2 alone", err)
				}
			}
			if len(s.sends) != c.batches {
				t.Errorf("%d batches, want %d", len(s.sends), c.batches)
			}
			got := drain(t, q)
			want := 4
			if c.want {
				want = 5
			}
			if len(got) != want {
				t.Errorf("%d messages arrived, want %d", len(got), want)
			}
			for body, n := range got {
				if n != 1 {
					t.Errorf("%.3s arrived %d times", body, n)
				}
			}
		})
	}
}

func TestBodiesComeOutByteForByte(t *testing.T) {
	t.Parallel()
	q := lane(t, awstest.StartSQS(t))
	bodies := []string{
		"{}", "", "b64:", "b64:e30=", "b64:not base64", "\x00\x01\x1f\x7f", "\ufffe\uffff\ufffd", "\xff\xfe not UTF-8", "\r\n\t",
		`{"a":"\u0000 \ufffe \ud83d\udc34 \" \\ \/ \b\f\n\r\t"}`, "{\"a\":\"žluť 🐎 \u2028\"}",
	}
	// Every character that there is, in parts.
	var part strings.Builder
	for r := rune(0); r <= 0x10ffff; r++ {
		if r == 0xd800 {
			r = 0xe000
		}
		part.WriteRune(r)
		if part.Len() > 500<<10 {
			bodies = append(bodies, part.String())
			part.Reset()
		}
	}
	bodies = append(bodies, part.String())
	var msgs []relay.Outgoing
	for _, b := range bodies {
		msgs = append(msgs, relay.Outgoing{Body: []byte(b)})
	}
	if err := q.Send(t.Context(), msgs...); err != nil {
		t.Fatal(err)
	}
	got := drain(t, q)
	for _, b := range bodies {
		if got[b] != 1 {
			t.Errorf("%.60q arrived %d times", b, got[b])
		}
	}
	if len(got) != len(bodies) {
		t.Errorf("%d bodies arrived, want %d", len(got), len(bodies))
	}
}

// A Lambda is given messages without this package's Receive.
func TestARecordOfALambdaReadsAsTheMessageReceived(t *testing.T) {
	t.Parallel()
	url := awstest.StartSQS(t)
	client := awstest.SQS(url)
	urls, err := sqsqueue.CreateQueues(t.Context(), client, rand.Text())
	if err != nil {
		t.Fatal(err)
	}
	q := sqsqueue.New(client, sqsqueue.Config{URL: urls.Events, DeadURL: urls.EventsDead})
	before := time.Now().Truncate(time.Millisecond)
	if err := q.Send(t.Context(), relay.Outgoing{Body: []byte("\ufffe")}); err != nil {
		t.Fatal(err)
	}
	out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: &urls.Events, WaitTimeSeconds: 2,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil || len(out.Messages) != 1 {
		t.Fatalf("received %v, %v", out, err)
	}
	m := out.Messages[0]
	got := sqsqueue.Message(*m.MessageId, *m.ReceiptHandle, *m.Body, m.Attributes)
	if got.ID != *m.MessageId || got.Receipt != *m.ReceiptHandle || string(got.Body) != "\ufffe" || got.Receives != 1 ||
		got.SentAt.Before(before) || got.SentAt.After(time.Now()) {
		t.Errorf("got %+v", got)
	}
	if err := q.Delete(t.Context(), got); err != nil {
		t.Error(err)
	}
}

func TestABuriedMessageKnowsWhenAndWhy(t *testing.T) {
	t.Parallel()
	q := lane(t, awstest.StartSQS(t))
	ctx, before := t.Context(), time.Now().Truncate(time.Millisecond)
	reasons := map[string]string{"small": "why\x00 žluť \ufffe", "whole": strings.Repeat("ž", 4000), "full": "there is no room for this"}
	want := map[string]string{"small": "why\ufffd žluť \ufffd", "whole": strings.Repeat("ž", 512), "full": ""}
	for name, reason := range reasons {
		body := name
		if name == "full" {
			body += strings.Repeat("x", relay.MaxMessageSize-len(name))
		}
		if err := q.Bury(ctx, relay.Received{Body: []byte(body)}, reason); err != nil {
			t.Fatalf("bury %s: %v", name, err)
		}
	}
	dead, err := q.Dead(ctx, "", 10)
	if err != nil || len(dead) != len(reasons) {
		t.Fatalf("%d dead letters, %v; want %d", len(dead), err, len(reasons))
	}
	for _, d := range dead {
		name := string(d.Body[:min(len(d.Body), 5)])
		if strings.HasPrefix(name, "full") {
			name = "full"
		}
		if d.Reason != want[name] {
			t.Errorf("%s: reason %.80q, want %.80q", name, d.Reason, want[name])
		}
		if name != "full" && (d.DeadAt.Before(before) || d.DeadAt.After(time.Now())) {
			t.Errorf("%s: dead at %v", name, d.DeadAt)
		}
	}
}

func TestCreateQueuesTwiceGivesTheSameQueues(t *testing.T) {
	t.Parallel()
	client, prefix := awstest.SQS(awstest.StartSQS(t)), rand.Text()
	first, err := sqsqueue.CreateQueues(t.Context(), client, prefix)
	if err != nil {
		t.Fatal(err)
	}
	second, err := sqsqueue.CreateQueues(t.Context(), client, prefix)
	if err != nil || first != second {
		t.Errorf("got %v, %v, want %v", second, err, first)
	}
	out, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl:       &first.Retries,
		AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"MessageRetentionPeriod": "1209600", "MaximumMessageSize": "1048576"} {
		if got := out.Attributes[name]; got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if policy := out.Attributes["RedrivePolicy"]; !strings.Contains(policy, prefix+"-retries-dead") || !strings.Contains(policy, "20") {
		t.Errorf("redrive policy %s", policy)
	}
}
