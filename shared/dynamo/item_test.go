package dynamo

import (
	"bytes"
	"testing"
	"time"

	"hookferry/shared/relay"
)

func FuzzPackedIdentifiersComeOutAsTheyWere(f *testing.F) {
	now := time.Now()
	for _, id := range []string{
		"", "x", relay.NewID(relay.EndpointPrefix, now), relay.NewID(relay.RequestPrefix, now),
		"whend_zzzzzzzzzzzzzzzzzzzzzzzzzz", "whend_0000000000000000000000000v", "src_\xff", "evt_ü", "unknown_" + relay.NewID("", now),
	} {
		f.Add(id, []byte{1, 2})
	}
	f.Fuzz(func(t *testing.T, id string, rest []byte) {
		got, left, ok := unpackID(append(packID(nil, id), rest...))
		if !ok || got != id || !bytes.Equal(left, rest) {
			t.Errorf("%q came out as %q, whole %v, with %d bytes left of %d", id, got, ok, len(left), len(rest))
		}
		// Whatever is stored, reading it ends and does not panic.
		for at := rest; len(at) > 0; {
			_, next, ok := unpackID(at)
			if !ok {
				break
			}
			at = next
		}
	})
}

func TestMadeIdentifiersTakeSeventeenBytes(t *testing.T) {
	for _, prefix := range []string{
		relay.AccountPrefix, relay.KeyPrefix, relay.EndpointPrefix, relay.SourcePrefix,
		relay.EventPrefix, relay.RequestPrefix, relay.ReplayPrefix,
	} {
		if n := len(packID(nil, relay.NewID(prefix, time.Now()))); n != 17 {
			t.Errorf("an identifier of prefix %s takes %d bytes, want 17", prefix, n)
		}
	}
}

// The further of two deliveries must have the greater text: DynamoDB compares it.
func TestDeliveryTextsCompareAsProgressDoes(t *testing.T) {
	steps := []relay.Delivery{
		{},
		{Attempts: 1},
		{Attempts: 9},
		{Attempts: 10},
		{Attempts: 0xffff},
		{Run: 1},
		{Run: 1, Attempts: 2},
		{Run: 15, Attempts: 3},
		{Run: 16},
		{Run: 1 << 20, Attempts: 5},
	}
	for i, d := range steps {
		d.EndpointID, d.Status, d.NextAttemptAt = "whend_1", relay.DeliveryRetrying, time.UnixMilli(1_700_000_000_000).UTC()
		got, ok := parseDelivery("whend_1", deliveryText(d))
		if !ok || got != d {
			t.Errorf("%+v came out as %+v", d, got)
		}
		for j, other := range steps {
			other.Status = relay.DeliveryFailed
			if replaces := deliveryText(other) < beyond(d); replaces != (j <= i) {
				t.Errorf("%+v replaces %+v: %v", d, other, replaces)
			}
		}
	}
}

func TestItemSizesAreCountedAsDynamoDBDoes(t *testing.T) {
	it := newItem(key{"12345", "678"}) // 2+5 and 2+3
	it.setInt("n", 1234567890123)      // 1 and 7+1
	it.setBytes("b", make([]byte, 10)) // 1+10
	it.setString("ü", "ü")             // 2+2
	setStrings(it, "l", []string{"ab"})
	if got, want := it.size(), 7+5+9+11+4+(1+3+1+2); got != want {
		t.Errorf("size %d, want %d", got, want)
	}
}
