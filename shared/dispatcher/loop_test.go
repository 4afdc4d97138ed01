package dispatcher_test

import (
	"testing"

	"hookferry/shared/dispatcher"
	"hookferry/shared/relay"
)

func TestASixthPassIsNotDelivered(t *testing.T) {
	for passes, want := range map[int]string{0: "1", 1: "2", 4: "5", 5: "", 9: ""} {
		r := newRig(t, func(cfg *dispatcher.Config) { cfg.HeaderPrefix = "Acme" })
		r.endpoint("a")
		r.accept("evt_1", func(ev *relay.Event) { ev.Passes = passes })
		r.settleNow()
		calls, as := r.dest.to("a"), r.attempts("whend_a")
		if want != "" {
			if len(calls) != 1 || calls[0].header.Get(relay.PassesHeader) != want {
				t.Errorf("after %d passes: calls %v, want one with %s: %s", passes, calls, relay.PassesHeader, want)
			}
			continue
		}
		if len(calls) > 0 || len(as) != 1 || as[0].Status != relay.AttemptSkipped || !as[0].Final || as[0].ErrorCode != relay.CodeLoop {
			t.Errorf("after %d passes: %d calls, on record %+v", passes, len(calls), as)
		}
	}
}
