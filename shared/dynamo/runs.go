package dynamo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hookferry/shared/relay"
)

// StartRun implements relay.Store.
func (s *Store) StartRun(ctx context.Context, account, event, endpoint, token string, at time.Time) (relay.Run, error) {
	at = relay.Millis(at)
	for round := range maxRounds {
		if err := pause(ctx, round); err != nil {
			return relay.Run{}, fmt.Errorf("start run of %s: %w", event, err)
		}
		it, err := s.item(ctx, eventKey(account, event), true)
		if err == nil && s.expired(it) {
			err = relay.ErrNotFound
		}
		if err != nil {
			return relay.Run{}, fmt.Errorf("start run: read event %s: %w", event, err)
		}
		r, err := eventOf(account, event, it)
		if err != nil {
			return relay.Run{}, fmt.Errorf("start run: read event %s: %w", event, err)
		}
		was, again := r.Runs[endpoint]
		if again && was.Token == token {
			return was, nil
		}
		if err := s.register(ctx, account); err != nil {
			return relay.Run{}, fmt.Errorf("start run of %s: %w", event, err)
		}
		run := relay.Run{Number: was.Number + 1, Token: token, StartedAt: at}
		st, err := s.stateOf(ctx, r.Ref())
		if err != nil {
			return relay.Run{}, fmt.Errorf("start run of %s: %w", event, err)
		}
		ended, err := s.overtaken(ctx, r, endpoint, st)
		if err != nil {
			return relay.Run{}, fmt.Errorf("start run of %s: %w", event, err)
		}
		failed, err := s.transact(ctx, append(s.runWrites(r, it, endpoint, run, st), ended...)...)
		if err != nil {
			return relay.Run{}, fmt.Errorf("start run of %s: %w", event, err)
		}
		if failed < 0 {
			return run, nil
		}
	}
	return relay.Run{}, fmt.Errorf("start run of %s: the event kept changing", event)
}

// runWrites are the writes of a transaction that start a run as it was decided
// on r and st.
func (s *Store) runWrites(r relay.EventRecord, it item, endpoint string, run relay.Run, st state) []types.TransactWriteItem {
	event := condition{
		expr:  "attribute_exists(pk) AND attribute_not_exists(#r)",
		names: map[string]string{"#r": endpointAttribute + endpoint}, values: item{":r": stringValue(runText(run))},
	}
	set := "SET #r = :r"
	if was, ok := r.Runs[endpoint]; ok {
		event.expr = "#r = :was"
		event.values[":was"] = stringValue(runText(was))
		set += ", #b = :b"
		event.names["#b"] = startsAttribute + endpoint
		event.values[":b"] = stringValue(startsText(it.string(startsAttribute+endpoint), was))
	}
	d := relay.Delivery{EndpointID: endpoint, Run: run.Number, Status: relay.DeliveryPending, NextAttemptAt: run.StartedAt}
	return append(s.openWrites(r.Ref(), d, st, deliveryCount(r, endpoint)),
		s.transactUpdate(eventKey(r.Account, r.Ref().ID), set, event))
}

// deliveryCount is how many deliveries an event has with a run for the endpoint.
func deliveryCount(r relay.EventRecord, endpoint string) int {
	n := len(r.Matched)
	if !slices.Contains(r.Matched, endpoint) {
		n++
	}
	for other := range r.Runs {
		if other != endpoint && !slices.Contains(r.Matched, other) {
			n++
		}
	}
	return n
}
