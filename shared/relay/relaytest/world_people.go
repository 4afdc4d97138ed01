package relaytest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hookferry/shared/relay"
)

// What providers and owners do in a World, each through a process of the
// receiver's or the API's, which may die or meet faults as well.

var worldTypes = []string{"order.paid", "order.sent"}

// A worldEvent is an event that was sent in.
type worldEvent struct {
	relay.Event
	accepted bool // somebody was told so
	putAt    time.Time
	verdict  verdict
}

// verdict is what the provider says of an event that has to be confirmed.
type verdict int

const (
	confirmed verdict = iota
	denied
	unreachable
)

// Accept sends in one event, or a few.
func (w *World) Accept(ctx context.Context) {
	w.accept(ctx, 1+w.rand.IntN(3))
}

func (w *World) accept(ctx context.Context, n int) {
	for range n {
		now := w.Clock.Now()
		ev := relay.Event{
			ID: w.id(relay.EventPrefix), Account: WorldAccount, Type: worldTypes[w.rand.IntN(2)], Format: relay.FormatRivya,
			VerifiedBy: relay.VerifiedByKey, CreatedAt: now, RequestID: w.id(relay.RequestPrefix), Payload: relay.NewPayload([]byte(`{"a":1}`)),
		}
		e := &worldEvent{Event: ev}
		if w.cfg.Confirmable != nil && w.cfg.Script == nil && w.rand.IntN(4) == 0 {
			e.Format, e.SourceID, e.VerifiedBy = relay.FormatSivi, w.cfg.Source.ID, relay.VerifiedByToken
			e.Payload = relay.NewPayload(w.cfg.Confirmable(e.ID))
			e.Confirm = []relay.Confirm{relay.ConfirmPrefer, relay.ConfirmRequire}[w.rand.IntN(2)]
			e.verdict = verdict(w.rand.IntN(3))
		}
		w.events[e.ID] = e
		w.submit(ctx, e)
		if !e.accepted && (w.cfg.Script != nil || w.rand.IntN(3) > 0) {
			w.submit(ctx, e) // a provider that was not answered tries again
		}
	}
}

// submit sends an event in, as the receiver and the publish call do.
func (w *World) submit(ctx context.Context, e *worldEvent) {
	ports, p := w.visitor()
	err := ports.Events.Send(ctx, relay.NewEventMessage(e.Event).Outgoing(w.Clock.Now()))
	w.tracef("%s sent in: %v", e.ID, err)
	e.accepted = e.accepted || err == nil
	w.died(p)
}

// acceptAgain repeats a call that was answered, as providers may.
func (w *World) acceptAgain(ctx context.Context) {
	if len(w.posts) == 0 {
		return
	}
	id := w.posts[w.rand.IntN(len(w.posts))].event
	if e, ok := w.events[id]; ok && e.Only == "" {
		again := *e
		again.CreatedAt = w.Clock.Now()
		// Only while the first is within its retention is it the same event.
		if w.Clock.Now().Before(e.CreatedAt.Add(Retention / 2)) {
			ports, p := w.visitor()
			err := ports.Events.Send(ctx, relay.NewEventMessage(again.Event).Outgoing(w.Clock.Now()))
			w.tracef("%s sent in once more: %v", id, err)
			w.died(p)
		}
	}
}

// test sends a test event to one endpoint that is not deleted.
func (w *World) test(ctx context.Context) {
	id, ok := w.anyEndpoint(func(s endpointState) bool { return !s.deleted })
	if !ok {
		return
	}
	now := w.Clock.Now()
	e := &worldEvent{Event: relay.Event{
		ID: w.id(relay.EventPrefix), Account: WorldAccount, Type: relay.TypeTest, Format: relay.FormatRivya,
		VerifiedBy: relay.VerifiedByKey, Test: true, CreatedAt: now, RequestID: w.id(relay.RequestPrefix), Only: id,
		Payload: relay.NewPayload([]byte(`{"test":true}`)),
	}}
	w.events[e.ID] = e
	w.submit(ctx, e)
}

// A worldEndpoint is what an endpoint was when.
type worldEndpoint struct {
	mood    int                  // how it answers
	answer  func(number int) int // how it answers, if the test says so
	history []endpointState
}

type endpointState struct {
	at                time.Time
	deleted, disabled bool
	types             []string
}

func stateOf(e relay.Endpoint, at time.Time) endpointState {
	return endpointState{at: at, deleted: e.Deleted(), disabled: e.Status != relay.Active, types: e.EventTypes}
}

func (e *worldEndpoint) now() endpointState { return e.history[len(e.history)-1] }

// stable returns the state that the endpoint had from one time to another, and
// false if it had several or was not there.
func (e *worldEndpoint) stable(from, to time.Time) (endpointState, bool) {
	var state endpointState
	found := false
	for _, s := range e.history {
		switch {
		case !s.at.After(from):
			state, found = s, true
		case !s.at.After(to):
			return endpointState{}, false
		}
	}
	return state, found
}

// wants is the model's own idea of matching.
func (s endpointState) wants(typ string) bool {
	for _, t := range s.types {
		if t == typ || t == "*" && (typ == worldTypes[0] || typ == worldTypes[1] || typ == "generation.succeeded") {
			return true
		}
	}
	return false
}

func (w *World) createEndpoint(ctx context.Context) {
	types := w.someTypes()
	w.create(ctx, &worldEndpoint{mood: w.rand.IntN(moods)}, types)
}

func (w *World) create(ctx context.Context, of *worldEndpoint, types []string) {
	now := w.Clock.Now()
	id := w.id(relay.EndpointPrefix)
	e := relay.Endpoint{
		ID: id, Account: WorldAccount, Name: id, URL: w.cfg.URL + "/" + id, EventTypes: types,
		Format: relay.FormatRivya, Signatures: []relay.Scheme{relay.SchemeRivya}, Status: relay.Active, CreatedAt: now, UpdatedAt: now,
	}
	w.mu.Lock()
	w.endpoints[id] = of
	w.mu.Unlock()
	w.must(w.store.CreateEndpoint(ctx, w.cfg.Seal(e), 1000))
}

func (w *World) someTypes() []string {
	return [][]string{{"*"}, {"*"}, {worldTypes[0]}, {worldTypes[1], worldTypes[0]}}[w.rand.IntN(4)]
}

// anyEndpoint returns one whose state fits.
func (w *World) anyEndpoint(fits func(endpointState) bool) (string, bool) {
	var ids []string
	for i := range w.made + 1 { // in the order of their making, for the seed's sake
		id := fmt.Sprintf("%s%020d", relay.EndpointPrefix, i)
		if e, ok := w.endpoints[id]; ok && fits(e.now()) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return "", false
	}
	return ids[w.rand.IntN(len(ids))], true
}

// edit changes an endpoint, deletes one or makes one.
func (w *World) edit(ctx context.Context) {
	id, ok := w.anyEndpoint(func(s endpointState) bool { return !s.deleted })
	if !ok || w.rand.IntN(6) == 0 {
		w.createEndpoint(ctx)
		w.tracef("an endpoint is created")
		return
	}
	e, err := w.store.Endpoint(ctx, WorldAccount, id)
	w.must(err)
	now := w.Clock.Now()
	what := "types"
	switch n := w.rand.IntN(10); {
	case n < 3 && e.Status == relay.Active:
		what = "disabled"
		e.Disable(relay.DisabledManual, now)
	case n < 7 && e.Status != relay.Active:
		what = "enabled"
		e.Status, e.DisabledReason, e.DisabledAt = relay.Active, "", time.Time{}
	case n < 8:
		what = "deleted"
		e.Disable(relay.DisabledManual, now)
		e.RevokedAt = now
	default:
		e.EventTypes = w.someTypes()
	}
	e.UpdatedAt = now
	w.must(w.store.UpdateEndpoint(ctx, e))
	w.tracef("%s: %s", id, what)
}

// retry starts a new run of a delivery that has ended, as the API does.
func (w *World) retry(ctx context.Context) {
	if len(w.posts) == 0 {
		return
	}
	at := w.posts[w.rand.IntN(len(w.posts))]
	if w.endpoints[at.endpoint].now().deleted {
		return
	}
	key := deliveryKey{at.event, at.endpoint}
	ports, p := w.visitor()
	now := w.Clock.Now()
	w.mu.Lock()
	d := w.delivery(key)
	w.mu.Unlock()
	run, err := ports.Store.StartRun(ctx, WorldAccount, at.event, at.endpoint, w.id(relay.RequestPrefix), now)
	if err == nil {
		m := relay.NewAttemptMessage(w.ref(at.event), at.endpoint, run.Number, 1, run.StartedAt, run.StartedAt.Add(relay.GiveUpAfter))
		err = ports.Retries.Send(ctx, m.Outgoing(now))
	}
	if err != nil && !errors.Is(err, relay.ErrNotFound) {
		d.loose = true // whoever asked was not told that it would be; the repair walk sees to it
	}
	w.tracef("%s to %s is to be run again: %d, %v", at.event, at.endpoint, run.Number, err)
	w.died(p)
}

// ref is the reference of an event on the store.
func (w *World) ref(event string) relay.EventRef {
	if r, err := w.store.Event(context.Background(), WorldAccount, event, true); err == nil {
		return r.Ref()
	}
	return relay.EventRef{Account: WorldAccount, ID: event, CreatedAt: w.Clock.Now()}
}

// replay starts a replay of an endpoint, as the API does.
func (w *World) replay(ctx context.Context) {
	id, ok := w.anyEndpoint(func(s endpointState) bool { return !s.deleted })
	if !ok {
		return
	}
	now := w.Clock.Now()
	r := relay.Replay{
		ID: w.id(relay.ReplayPrefix), Account: WorldAccount, EndpointID: id, Since: Start, Until: now,
		Select: []string{"bad", "all", "failed", "skipped", "open"}[w.rand.IntN(5)], MaxPerSecond: 1 + w.rand.IntN(10), Status: relay.ReplayRunning,
		CreatedAt: now, UpdatedAt: now,
	}
	if r.Select == "all" || r.Select == "open" {
		w.mu.Lock()
		if w.hurried == nil {
			w.hurried = map[string]time.Time{}
		}
		if _, ok := w.hurried[id]; !ok {
			w.hurried[id] = relay.Millis(now) // as an attempt's time is kept
		}
		w.mu.Unlock()
	}
	ports, p := w.visitor()
	err := ports.Store.CreateReplay(ctx, r)
	if err == nil {
		err = ports.Retries.Send(ctx, relay.Message{
			Kind: relay.MessageReplay, MID: relay.NewMID(), Account: WorldAccount, ReplayID: r.ID,
			EndpointID: id, Step: 1, DueAt: now, GiveUpAt: now.Add(relay.GiveUpAfter),
		}.Outgoing(now))
		if err != nil {
			r.Version, r.Status, r.FinishedAt = 1, relay.ReplayCancelled, now
			_ = ports.Store.UpdateReplay(ctx, r)
		}
	}
	w.tracef("replay %s of %s (%s): %v", r.ID, id, r.Select, err)
	w.died(p)
}
