package api

import (
	"context"
	"errors"
	"strings"
	"testing"

	"hookferry/shared/relay"
)

// usage is what a store says that accounts keep.
type usage struct {
	of  map[string]relay.Usage
	err error
}

func (u *usage) Usage(_ context.Context, account string) (relay.Usage, error) {
	return u.of[account], u.err
}

func TestAnAccountThatKeepsAllItMayPublishesNoMore(t *testing.T) {
	u := &usage{of: map[string]relay.Usage{}}
	w := newWorld(t, func(c *Config) { c.Usage, c.Limit = u, relay.Usage{Events: 10, Bytes: 1000} })
	ep := w.createEndpoint()
	body := `{"type":"order.paid","data":{}}`
	u.of[w.account] = relay.Usage{Events: 9, Bytes: 999}
	w.publish("k", body).is(202)
	for _, full := range []relay.Usage{{Events: 10, Bytes: 1}, {Events: 1, Bytes: 1000}, {Events: 11, Bytes: 2000}} {
		u.of[w.account] = full
		w.call("POST", "/api/v1/webhook-events", body).refused(relay.KindLimitExceeded, "")
		w.call("POST", "/api/v1/webhooks/"+ep+"/test", "").refused(relay.KindLimitExceeded, "")
		w.publish("k", body).refused(relay.KindLimitExceeded, "")
		w.publish("l", body).refused(relay.KindLimitExceeded, "")
		// It is managed as ever, and what it has can be delivered again.
		w.call("PATCH", "/api/v1/webhooks/"+ep, `{"name":"`+strings.Repeat("x", int(full.Events))+`"}`).is(200)
	}
	_, _, other := w.newAccount("second")
	w.callAs(other, "POST", "/api/v1/webhook-events", body).is(202)
	u.err = errors.New("locked")
	w.call("POST", "/api/v1/webhook-events", body).refused(relay.KindUnavailable, "")
}
