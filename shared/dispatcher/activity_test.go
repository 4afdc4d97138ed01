package dispatcher

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
)

func TestActivityRidesWithTheCountersOfAnyEndpointOfTheAccount(t *testing.T) {
	at := time.Date(2026, 5, 11, 9, 0, 30, 0, time.UTC)
	minute := at.Truncate(time.Minute)
	var a activity
	for i := range 3 {
		a.accepted(relay.Event{Account: "acct_1", SourceID: "src_1", CreatedAt: at.Add(time.Duration(i) * time.Second)})
	}
	a.accepted(relay.Event{Account: "acct_2", SourceID: "src_2", CreatedAt: at})
	a.attempted(relay.Attempt{EndpointID: "whend_1", Status: relay.AttemptSucceeded, CreatedAt: at})
	a.attempted(relay.Attempt{EndpointID: "whend_1", Status: relay.AttemptFailed, CreatedAt: at})
	attempts, acceptals := a.take("whend_1", "acct_1", at)
	wantAttempts := []relay.Tally{{At: minute, Delivered: 1, Failed: 1}}
	wantAcceptals := []relay.Tally{{At: minute, SourceID: "src_1", Accepted: 3, LastAt: at.Add(2 * time.Second)}}
	if d := cmp.Diff([][]relay.Tally{wantAttempts, wantAcceptals}, [][]relay.Tally{attempts, acceptals}); d != "" {
		t.Errorf("taken (-want +got):\n%s", d)
	}
	if x, y := a.take("whend_1", "acct_1", at); len(x)+len(y) > 0 {
		t.Errorf("taken twice: %v %v", x, y)
	}
	// What could not be written comes again, with what has come since.
	a.accepted(relay.Event{Account: "acct_1", SourceID: "src_1", CreatedAt: at})
	a.back("whend_1", "acct_1", attempts, acceptals)
	wantAcceptals[0].Accepted = 4
	if _, got := a.take("whend_9", "acct_1", at); cmp.Diff(wantAcceptals, got) != "" {
		t.Errorf("with another endpoint of the account: %+v", got)
	}
	if got, _ := a.take("whend_1", "acct_1", at.Add(25*time.Hour)); len(got) > 0 {
		t.Errorf("kept for more than a day: %+v", got)
	}
}

func TestTheActivityInHandIsBounded(t *testing.T) {
	at := time.Date(2026, 5, 11, 9, 0, 0, 0, time.UTC)
	var a activity
	for i := range maxTallies + 100 {
		a.accepted(relay.Event{Account: "acct_1", SourceID: fmt.Sprint("src_", i), CreatedAt: at})
	}
	for i := range maxActive + 100 {
		a.attempted(relay.Attempt{EndpointID: fmt.Sprint("whend_", i), CreatedAt: at})
	}
	if len(a.acceptals["acct_1"]) != maxTallies || len(a.attempts) != maxActive {
		t.Errorf("%d tallies, %d endpoints", len(a.acceptals["acct_1"]), len(a.attempts))
	}
}
