package bounds

import (
	"testing"
	"time"
)

func TestEveryStepEndsBeforeWhatItIsPartOf(t *testing.T) {
	const retried = 2*Answer + Backoff // a first request that is never answered, and a second
	const spoken = 200 * time.Millisecond
	for name, c := range map[string]struct{ part, whole time.Duration }{
		"a look-up with one answer lost":      {retried, ReceiverLookup},
		"an acceptance with one answer lost":  {retried, ReceiverSend},
		"a record with one answer lost":       {retried, Record},
		"a send with one answer lost":         {retried, Send},
		"a hide with its one answer":          {Answer, Hide},
		"a keyring with one answer lost":      {retried, Keyring},
		"a provider's call and its answer":    {ReceiverLookup + Keyring + ReceiverSend + spoken, ReceiverFunction},
		"a refused call, counted":             {ReceiverLookup + Keyring + ReceiverSend + RefusalCount + spoken, ReceiverFunction},
		"a walk's last page":                  {Record + Send + spoken, RepairFunction - RepairWalk},
		"a management call and its answer":    {APICall + spoken, APIFunction},
		"a management call undone":            {APICall + APIUndo + spoken, APIFunction},
		"a body that waits and is slow":       {BodyRoom + BodySlow, ReceiverFunction - ReceiverLookup - ReceiverSend},
		"what follows a call":                 {Record + Send + Hide + LastWords, StartMargin},
		"the longest call and what follows":   {longestDelivery + StartMargin, DispatcherFunction},
		"a gateway's patience with the api":   {APIFunction, 30 * time.Second},
		"a call's headers on one node":        {NodeHeaders, NodeRead},
		"a management call on one node":       {APICall + spoken, NodeWrite},
		"what follows a call on one node":     {StartMargin, NodeAfterCall},
		"a record of a node that stops":       {Record, NodeDrain},
		"a look whether a node is ready":      {Ready + spoken, NodeWrite},
		"a connection and an answer together": {Connect + Answer, Record},
	} {
		if c.part > c.whole {
			t.Errorf("%s: %s do not fit into %s", name, c.part, c.whole)
		}
	}
	if Answer < 700*time.Millisecond || Answer > time.Second {
		t.Errorf("one answer has %s: less cuts off slow but good ones, more leaves no time to ask again", Answer)
	}
}
