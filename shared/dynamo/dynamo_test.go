package dynamo_test

import (
	"errors"
	"flag"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"hookferry/shared/awstest"
	"hookferry/shared/dynamo"
	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

const table = "hookferry"

// The tests wait for another process most of the time, so more of them run at
// once than there are processors.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

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

// operations are all that a Store asks of DynamoDB: what its role must allow.
var operations = []string{
	"BatchGetItem", "BatchWriteItem", "DeleteItem", "GetItem", "PutItem", "Query",
	"TransactWriteItems", "UpdateItem",
}

func TestStoreKeepsItsPromises(t *testing.T) {
	t.Parallel()
	url := newTable(t)
	var meter awstest.Meter
	t.Run("on DynamoDB", func(t *testing.T) {
		relaytest.TestStore(t, func(t testing.TB, clock *relaytest.Clock) relay.Store {
			return open(url, clock.Now, with(meter.AddTo))
		})
	})
	if d := cmp.Diff(operations, slices.Sorted(maps.Keys(meter.Take().Calls))); d != "" && !t.Failed() {
		t.Errorf("operations (-want +got):\n%s", d)
	}
}

func TestHistories(t *testing.T) {
	t.Parallel()
	relaytest.TestHistories(t, func(t testing.TB, clock *relaytest.Clock) relay.Store {
		return open(newTable(t), clock.Now)
	})
}

func TestCreateTableMakesWhatIsMissingOnly(t *testing.T) {
	t.Parallel()
	url, clock := newTable(t), relaytest.NewClock()
	account := relay.Account{ID: "acct_1", Name: "one", CreatedAt: clock.Now()}
	if err := open(url, clock.Now).CreateAccount(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	client := awstest.DynamoDB(url)
	if err := dynamo.CreateTable(t.Context(), client, table); err != nil {
		t.Fatal(err)
	}
	if got, err := open(url, clock.Now).AccountByName(t.Context(), "one"); err != nil || got != account {
		t.Errorf("after a second creation: got %v, %v, want %v", got, err, account)
	}
	ttl, err := client.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: aws.String(table)})
	if err != nil {
		t.Fatal(err)
	}
	if got := ttl.TimeToLiveDescription; aws.ToString(got.AttributeName) != "x" || got.TimeToLiveStatus != types.TimeToLiveStatusEnabled {
		t.Errorf("time to live: %s by %q, want ENABLED by x", got.TimeToLiveStatus, aws.ToString(got.AttributeName))
	}
}

// The server holds the sizes of items to AWS's limit as well; the store says
// which limit it was.
func TestAnEventThatNoItemHoldsIsTooLarge(t *testing.T) {
	t.Parallel()
	url, now := newTable(t), relaytest.Start
	s := open(url, func() time.Time { return now })
	put := func(id string, size int) error {
		payload := make([]byte, size)
		for i := range payload {
			payload[i] = byte(i)
		}
		_, err := s.PutEvent(t.Context(), relay.EventRecord{MID: "m", Event: relay.Event{
			ID: id, Account: "acct_1",
			CreatedAt: now, Payload: relay.PayloadFromDeflated(payload),
		}})
		return err
	}
	if err := put("evt_fits", 399<<10); err != nil {
		t.Errorf("an event of 399 KB: %v", err)
	}
	if err := put("evt_over", 401<<10); !errors.Is(err, relay.ErrTooLarge) {
		t.Errorf("an event of 401 KB: got %v, want ErrTooLarge", err)
	}
}

func TestADamagedItemIsAnErrorNotAnEmptyRecord(t *testing.T) {
	t.Parallel()
	url, clock := newTable(t), relaytest.NewClock()
	s, client := open(url, clock.Now), awstest.DynamoDB(url)
	r := relay.EventRecord{MID: "m", Event: relay.Event{ID: "evt_1", Account: "acct_1", Type: "a.b", CreatedAt: clock.Now()}}
	if _, err := s.PutEvent(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]types.AttributeValue{
		"y":        &types.AttributeValueMemberB{Value: []byte{1, 2, 3}},
		"z":        &types.AttributeValueMemberB{Value: []byte{0, 1, 'a', 200}},
		"/whend_1": &types.AttributeValueMemberS{Value: "1 then token"},
	} {
		t.Run(name, func(t *testing.T) {
			key := map[string]types.AttributeValue{
				"pk": &types.AttributeValueMemberS{Value: "E#acct_1#evt_1"},
				"sk": &types.AttributeValueMemberS{Value: "E"},
			}
			change := func(expr string, values map[string]types.AttributeValue) {
				t.Helper()
				_, err := client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
					TableName: aws.String(table), Key: key,
					UpdateExpression: &expr, ExpressionAttributeNames: map[string]string{"#a": name}, ExpressionAttributeValues: values,
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			change("SET #a = :v", map[string]types.AttributeValue{":v": value})
			if got, err := s.Event(t.Context(), "acct_1", "evt_1", true); err == nil {
				t.Errorf("read as %+v", got)
			}
			change("REMOVE #a", nil)
			if _, err := s.Event(t.Context(), "acct_1", "evt_1", true); err != nil {
				t.Errorf("undamaged again: %v", err)
			}
		})
	}
}
