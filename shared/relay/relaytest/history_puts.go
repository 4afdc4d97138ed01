package relaytest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"hookferry/shared/relay"
)

// idempotencySubject is one idempotency key.
type idempotencySubject struct {
	account string
	key     relay.KeyHash
	last    atomic.Int64
}

func (o *idempotencySubject) choose(*rand.Rand) act {
	n := o.last.Add(1)
	return act{method: "putIdempotency", name: fmt.Sprint("evt_", n), at: n}
}

func (o *idempotencySubject) do(ctx context.Context, s relay.Store, a act) (answer, error) {
	old, err := s.PutIdempotency(ctx, relay.Idempotency{
		Account: o.account, Key: o.key, Body: relay.KeyHash{byte(a.at)}, EventID: a.name, CreatedAt: after(a.at), ExpiresAt: after(a.at).Add(time.Hour),
	})
	if err != nil || old == nil {
		return answer{}, err
	}
	return answer{name: old.EventID, n: since(old.CreatedAt), v: int64(old.Body[0])}, nil
}

func (o *idempotencySubject) start() any { return answer{} }

func (o *idempotencySubject) step(state any, a act) (any, []answer) {
	if there := state.(answer); there.name != "" {
		return there, []answer{there}
	}
	return answer{name: a.name, n: a.at, v: int64(byte(a.at))}, []answer{{}}
}

// attemptSubject is one attempt: it is recorded, and ended by a newer run.
type attemptSubject struct {
	account, event string
	last           atomic.Int64
}

func (o *attemptSubject) choose(r *rand.Rand) act {
	switch n := r.IntN(10); {
	case n < 5:
		return act{method: "recordAttempt", name: fmt.Sprint("snippet ", o.last.Add(1))}
	case n < 7:
		return act{method: "endAttempt"}
	}
	return act{method: "attempt"}
}

func (o *attemptSubject) do(ctx context.Context, s relay.Store, a act) (answer, error) {
	made := relay.Attempt{
		ID: relay.AttemptID(o.account, o.event, "whend_"+o.account, 0, 1, Start), Account: o.account, EventID: o.event, EventType: "a.b",
		EndpointID: "whend_" + o.account, Number: 1, Status: relay.AttemptFailed, HTTPStatus: 503, RequestID: "req_1",
		Snippet: a.name, ErrorCode: relay.CodeHTTPError, DueAt: Start, CreatedAt: Start, NextAttemptAt: after(1), MID: "0123456789", EventCreatedAt: Start,
	}
	is := func(x relay.Attempt) answer { return answer{name: x.Snippet, more: fmt.Sprint(x.Final)} }
	switch a.method {
	case "recordAttempt":
		old, err := s.RecordAttempt(ctx, made)
		if err != nil || old == nil {
			return answer{}, err
		}
		return is(*old), nil
	case "endAttempt":
		return answer{}, s.EndAttempt(ctx, made)
	}
	got, err := s.Attempt(ctx, o.account, made.EndpointID, made.ID)
	return is(got), err
}

func (o *attemptSubject) start() any { return answer{} }

func (o *attemptSubject) step(state any, a act) (any, []answer) {
	there := state.(answer)
	switch {
	case a.method == "endAttempt":
		if there.name != "" {
			there.more = "true"
		}
		return there, []answer{{}}
	case there.name != "":
		return there, []answer{there}
	case a.method == "recordAttempt":
		return answer{name: a.name, more: "false"}, []answer{{}}
	}
	return there, []answer{{err: relay.ErrNotFound}}
}

// accountSubject is the name of an account, which is taken once.
type accountSubject struct{ name string }

func (o *accountSubject) choose(r *rand.Rand) act {
	if r.IntN(2) == 0 {
		return act{method: "accountByName"}
	}
	return act{method: "createAccount", name: relay.NewID(relay.AccountPrefix, Start)}
}

func (o *accountSubject) do(ctx context.Context, s relay.Store, a act) (answer, error) {
	if a.method == "createAccount" {
		return answer{}, s.CreateAccount(ctx, relay.Account{ID: a.name, Name: o.name, CreatedAt: Start})
	}
	got, err := s.AccountByName(ctx, o.name)
	return answer{name: got.ID}, err
}

func (o *accountSubject) start() any { return "" }

func (o *accountSubject) step(state any, a act) (any, []answer) {
	there := state.(string)
	switch {
	case a.method == "createAccount" && there == "":
		return a.name, []answer{{}}
	case a.method == "createAccount":
		return there, []answer{{err: relay.ErrExists}}
	case there == "":
		return there, []answer{{err: relay.ErrNotFound}}
	}
	return there, []answer{{name: there}}
}
