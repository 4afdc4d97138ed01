package dynamo_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"hookferry/shared/awstest"
	"hookferry/shared/dynamo"
	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

const table = "hookferry"

// newTable starts a DynamoDB with the table and returns its URL.
func newTable(t testing.TB) string {
	t.Helper()
	url := awstest.StartDynamoDB(t)
	if err := dynamo.CreateTable(t.Context(), awstest.DynamoDB(url), table); err != nil {
		t.Fatal(err)
	}
	return url
}

func open(url string, now func() time.Time, options ...func(*dynamodb.Options)) *dynamo.Store {
	return dynamo.New(awstest.DynamoDB(url, options...),
		dynamo.Config{Table: table, Retention: relaytest.Retention, Now: now})
}

func TestStoreKeepsItsPromises(t *testing.T) {
	url := newTable(t)
	relaytest.TestStore(t, func(t testing.TB, clock *relaytest.Clock) relay.Store {
		return open(url, clock.Now)
	})
}
