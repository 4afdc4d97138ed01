package sqsqueue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"hookferry/shared/relay"
)

// URLs are those of a deployment's two lanes and their dead-letter queues.
type URLs struct {
	Events, EventsDead, Retries, RetriesDead string
}

// retention is the longest that SQS keeps a message.
const retention = 14 * 24 * time.Hour

// CreateQueues makes the queues prefix-events, prefix-retries and the dead-letter
// queue of each, named with -dead, where they are missing. Deployments make
// theirs with infrastructure code; this is for trying and for tests.
func CreateQueues(ctx context.Context, client *sqs.Client, prefix string) (URLs, error) {
	var urls URLs
	for _, lane := range []struct {
		name      string
		url, dead *string
	}{
		{prefix + "-events", &urls.Events, &urls.EventsDead},
		{prefix + "-retries", &urls.Retries, &urls.RetriesDead},
	} {
		var err error
		if *lane.dead, err = createQueue(ctx, client, lane.name+"-dead", nil); err != nil {
			return URLs{}, err
		}
		out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
			QueueUrl:       lane.dead,
			AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
		})
		if err != nil {
			return URLs{}, fmt.Errorf("create queue %s: read the name of its dead-letter queue: %w", lane.name, err)
		}
		policy, err := json.Marshal(map[string]string{
			"deadLetterTargetArn": out.Attributes[string(types.QueueAttributeNameQueueArn)],
			"maxReceiveCount":     strconv.Itoa(relay.MaxReceives),
		})
		if err != nil {
			return URLs{}, fmt.Errorf("create queue %s: %w", lane.name, err)
		}
		*lane.url, err = createQueue(ctx, client, lane.name, map[string]string{
			string(types.QueueAttributeNameRedrivePolicy): string(policy),
		})
		if err != nil {
			return URLs{}, err
		}
	}
	return urls, nil
}

func createQueue(ctx context.Context, client *sqs.Client, name string, attributes map[string]string) (string, error) {
	there, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
	if err == nil {
		return aws.ToString(there.QueueUrl), nil
	}
	if _, missing := errors.AsType[*types.QueueDoesNotExist](err); !missing {
		return "", fmt.Errorf("look for queue %s: %w", name, err)
	}
	all := map[string]string{
		string(types.QueueAttributeNameMessageRetentionPeriod): strconv.Itoa(int(retention / time.Second)),
		string(types.QueueAttributeNameMaximumMessageSize):     strconv.Itoa(relay.MaxMessageSize),
	}
	for k, v := range attributes {
		all[k] = v
	}
	out, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: all})
	if err != nil {
		return "", fmt.Errorf("create queue %s: %w", name, err)
	}
	return aws.ToString(out.QueueUrl), nil
}
