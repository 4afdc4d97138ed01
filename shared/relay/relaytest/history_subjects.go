package relaytest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"hookferry/shared/relay"
)

// newSubject returns a new object, the kinds in turn.
func newSubject(i int) subject {
	account := relay.NewID(relay.AccountPrefix, Start)
	switch i % 6 {
	case 0:
		return newEventSubject(account)
	case 1:
		return newKeySubject(account)
	case 2:
		return newEndpointSubject(account)
	case 3:
		return &idempotencySubject{account: account, key: relay.KeyHash(sha256.Sum256([]byte(account)))}
	case 4:
		return &attemptSubject{account: account, event: relay.NewID(relay.EventPrefix, Start)}
	default:
		return &accountSubject{name: "history " + account}
	}
}

func after(n int64) time.Time { return Start.Add(time.Duration(n) * time.Millisecond) }
func since(t time.Time) int64 { return t.Sub(Start).Milliseconds() }

// eventSubject is one event: it is put, claimed, and run again.
type eventSubject struct {
	account, id string
	last        atomic.Int64 // times that were handed out
	seen        atomic.Int64 // a claim that somebody saw
}

type oneEventState struct {
	mid        string
	claimed    int64
	run, runAt int64
	token      string
}

func newEventSubject(account string) *eventSubject {
	return &eventSubject{account: account, id: relay.NewID(relay.EventPrefix, Start)}
}

func (o *eventSubject) choose(r *rand.Rand) act {
	switch n := r.IntN(10); {
	case n < 2:
		return act{method: "putEvent", name: relay.NewMID(), at: o.last.Add(1)}
	case n < 6:
		return act{method: "claimEvent", from: o.seen.Load(), at: o.last.Add(1)}
	case n < 8:
		return act{method: "startRun", name: fmt.Sprint("token ", r.IntN(3)), at: o.last.Add(1)}
	}
	return act{method: "event"}
}

func (o *eventSubject) do(ctx context.Context, s relay.Store, a act) (answer, error) {
	is := func(r relay.EventRecord) answer {
		o.seen.Store(since(r.ClaimedUntil))
		run := r.Runs["whend_1"]
		return answer{name: r.MID, n: since(r.ClaimedUntil), v: int64(run.Number), more: run.Token}
	}
	switch a.method {
	case "putEvent":
		old, err := s.PutEvent(ctx, relay.EventRecord{MID: a.name, ClaimedUntil: after(a.at), Matched: []string{"whend_1"}, Event: relay.Event{
			ID: o.id, Account: o.account, Type: "a.b", Format: relay.FormatRivya, VerifiedBy: relay.VerifiedByKey, CreatedAt: Start,
			RequestID: "req_1", Payload: relay.NewPayload([]byte(`{}`)),
		}})
		if err != nil || old == nil {
			return answer{}, err
		}
		return is(*old), nil
	case "claimEvent":
		err := s.ClaimEvent(ctx, relay.EventRef{Account: o.account, ID: o.id, CreatedAt: Start}, after(a.from), after(a.at))
		if err == nil {
			o.seen.Store(a.at)
		}
		return answer{}, err
	case "startRun":
		run, err := s.StartRun(ctx, o.account, o.id, "whend_1", a.name, after(a.at))
		return answer{name: run.Token, n: since(run.StartedAt), v: int64(run.Number)}, err
	}
	r, err := s.Event(ctx, o.account, o.id, true)
	return is(r), err
}

func (o *eventSubject) start() any { return oneEventState{} }

func (o *eventSubject) step(state any, a act) (any, []answer) {
	st := state.(oneEventState)
	is := answer{name: st.mid, n: st.claimed, v: st.run, more: st.token}
	switch a.method {
	case "putEvent":
		if st.mid != "" {
			return st, []answer{is}
		}
		return oneEventState{mid: a.name, claimed: a.at}, []answer{{}}
	case "claimEvent":
		if st.mid == "" || st.claimed != a.from {
			return st, []answer{{err: relay.ErrConflict}}
		}
		st.claimed = a.at
		return st, []answer{{}}
	case "startRun":
		if st.mid == "" {
			return st, []answer{{err: relay.ErrNotFound}}
		}
		if st.token != a.name {
			st.run, st.runAt, st.token = st.run+1, a.at, a.name
		}
		return st, []answer{{name: st.token, n: st.runAt, v: st.run}}
	}
	if st.mid == "" {
		return st, []answer{{err: relay.ErrNotFound}}
	}
	return st, []answer{is}
}

// slots is how many things an account's object has, and slotLimit how many of
// them may live.
const (
	slots     = 10
	slotLimit = 3
)

// keySubject is the keys of an account, with a limit; one must be left.
type keySubject struct {
	account string
	keys    [slots]relay.Key
}

// keysState has the time of each key's revocation, 1 for a live key and 0 for none.
type keysState [slots]int64

func (st keysState) live() (n int) {
	for _, v := range st {
		if v == 1 {
			n++
		}
	}
	return n
}

func newKeySubject(account string) *keySubject {
	o := &keySubject{account: account}
	for i := range o.keys {
		secret := relay.NewAPIKey()
		o.keys[i] = relay.Key{
			ID: relay.NewID(relay.KeyPrefix, Start), Account: account, Name: "key", Hash: relay.HashSecret(secret),
			Prefix: secret.Reveal()[:12], Scopes: []relay.Scope{relay.ScopeManage}, CreatedAt: Start,
		}
	}
	return o
}

func (o *keySubject) choose(r *rand.Rand) act {
	a := act{method: "createKey", slot: r.IntN(slots), at: 2 + r.Int64N(1000)}
	switch n := r.IntN(10); {
	case n < 4:
		a.method = "revokeKey"
	case n < 6:
		a.method = "key"
	}
	return a
}

func (o *keySubject) do(ctx context.Context, s relay.Store, a act) (answer, error) {
	id := o.keys[a.slot].ID
	switch a.method {
	case "createKey":
		return answer{}, s.CreateKey(ctx, o.keys[a.slot], slotLimit)
	case "revokeKey":
		k, err := s.RevokeKey(ctx, o.account, id, after(a.at), relay.ScopeManage)
		return answer{n: since(k.RevokedAt)}, err
	}
	k, err := s.Key(ctx, o.account, id)
	if err != nil || k.RevokedAt.IsZero() {
		return answer{n: 1}, err
	}
	return answer{n: since(k.RevokedAt)}, nil
}

func (o *keySubject) start() any { return keysState{} }

func (o *keySubject) step(state any, a act) (any, []answer) {
	st := state.(keysState)
	v := &st[a.slot]
	switch {
	case a.method == "createKey":
		live := st.live()
		if *v == 0 && live < slotLimit {
			*v = 1
			return st, []answer{{}}
		}
		return st, refusals(*v != 0, live >= slotLimit)
	case *v == 0:
		return st, []answer{{err: relay.ErrNotFound}}
	case a.method == "revokeKey" && *v == 1:
		if st.live() == 1 {
			return st, []answer{{err: relay.ErrLastKey}}
		}
		*v = a.at
	}
	return st, []answer{{n: *v}}
}

// refusals are what may be said of what is there, or one too many. Of two reasons
// either may be given.
func refusals(exists, limit bool) (may []answer) {
	if exists {
		may = append(may, answer{err: relay.ErrExists})
	}
	if limit {
		may = append(may, answer{err: relay.ErrLimit})
	}
	return may
}

// endpointSubject is the endpoints of an account, with a limit; some have the
// same key, of which one may live.
type endpointSubject struct {
	account string
	ids     [slots]string
	seen    [slots]atomic.Int64 // the version that somebody saw last
}

type endpointsState [slots]struct {
	version int64
	deleted bool
}

func newEndpointSubject(account string) *endpointSubject {
	o := &endpointSubject{account: account}
	for i := range o.ids {
		o.ids[i] = relay.NewID(relay.EndpointPrefix, Start)
	}
	return o
}

func (o *endpointSubject) keyID(slot int) string {
	if slot%3 == 0 {
		return "key_" + o.account
	}
	return ""
}

func (o *endpointSubject) choose(r *rand.Rand) act {
	a := act{method: "createEndpoint", slot: r.IntN(slots)}
	switch n := r.IntN(10); {
	case n < 4:
		a.method = "updateEndpoint"
		a.from = o.seen[a.slot].Load()
		if r.IntN(2) == 0 {
			a.method = "deleteEndpoint"
		}
		if a.from == 0 {
			a.from = 1
		}
	case n < 6:
		a.method = "endpoint"
	}
	return a
}

func (o *endpointSubject) do(ctx context.Context, s relay.Store, a act) (answer, error) {
	e := relay.Endpoint{
		ID: o.ids[a.slot], Account: o.account, Name: "endpoint", URL: "https://hooks.example/", EventTypes: []string{"*"},
		Format: relay.FormatRivya, Signatures: []relay.Scheme{relay.SchemeRivya}, Status: relay.Active, Secret: "1.c2VhbGVk",
		SecretPreview: "whsec_12...abc123", CreatedAt: Start, UpdatedAt: Start, Version: a.from, KeyID: o.keyID(a.slot),
	}
	switch a.method {
	case "createEndpoint":
		return answer{}, s.CreateEndpoint(ctx, e, slotLimit)
	case "deleteEndpoint":
		e.RevokedAt = Start
		return answer{}, s.UpdateEndpoint(ctx, e)
	case "updateEndpoint":
		return answer{}, s.UpdateEndpoint(ctx, e)
	}
	e, err := s.Endpoint(ctx, o.account, e.ID)
	if err == nil && !e.Deleted() {
		o.seen[a.slot].Store(e.Version)
	}
	return answer{n: e.Version, more: fmt.Sprint(e.Deleted())}, err
}

func (o *endpointSubject) start() any { return endpointsState{} }

func (o *endpointSubject) step(state any, a act) (any, []answer) {
	st := state.(endpointsState)
	e := &st[a.slot]
	live, taken := 0, false
	for i, other := range st {
		if other.version > 0 && !other.deleted {
			live++
			taken = taken || i != a.slot && o.keyID(i) != "" && o.keyID(i) == o.keyID(a.slot)
		}
	}
	switch {
	case a.method == "createEndpoint":
		if may := refusals(e.version > 0 || taken, live >= slotLimit); may != nil {
			return st, may
		}
		e.version = 1
		return st, []answer{{}}
	case e.version == 0:
		return st, []answer{{err: relay.ErrNotFound}}
	case a.method == "endpoint":
		return st, []answer{{n: e.version, more: fmt.Sprint(e.deleted)}}
	case e.version != a.from:
		return st, []answer{{err: relay.ErrConflict}}
	}
	e.version++
	e.deleted = a.method == "deleteEndpoint"
	return st, []answer{{}}
}
