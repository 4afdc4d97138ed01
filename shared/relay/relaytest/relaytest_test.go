package relaytest_test

import (
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

func TestMemoryStore(t *testing.T) {
	relaytest.TestStore(t, func(_ testing.TB, clock *relaytest.Clock) relay.Store {
		return relaytest.NewMemory(clock.Now, relaytest.Retention)
	})
}

func TestMemoryQueue(t *testing.T) {
	relaytest.TestQueue(t, func(_ testing.TB, clock *relaytest.Clock) relaytest.Lane {
		return relaytest.NewMemoryQueue(clock.Now)
	}, relaytest.QueueOptions{})
}

func TestMemoryQueueInRealTime(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for seconds")
	}
	relaytest.TestQueue(t, func(testing.TB, *relaytest.Clock) relaytest.Lane {
		return relaytest.NewMemoryQueue(time.Now)
	}, relaytest.QueueOptions{RealTime: true})
}
