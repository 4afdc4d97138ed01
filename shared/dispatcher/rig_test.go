package dispatcher_test

import (
	"cmp"
	"context"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hookferry/shared/dispatcher"
	"hookferry/shared/egress"
	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
	"hookferry/shared/seal"
	"hookferry/shared/sqlite"
	"hookferry/shared/telemetry"
)

const account = "acct_1"

// A rig is a dispatcher on real adapters, with a clock that stands still until
// it is moved, a destination that does as it is told, and adapters that count
// and fail when told to.
type rig struct {
	testing.TB
	clock           *relaytest.Clock
	store           *faultyStore
	events, retries *faultyLane
	keys            *seal.Keyring
	dest            *destination
	cfg             dispatcher.Config
	d               *dispatcher.Dispatcher
	log             *lockedBuffer
	invocation      time.Duration
}

func newRig(t testing.TB, edits ...func(*dispatcher.Config)) *rig {
	clock := relaytest.NewClock()
	return assemble(t, clock, relaytest.NewMemory(clock.Now, relaytest.Retention),
		relaytest.NewMemoryQueue(clock.Now), relaytest.NewMemoryQueue(clock.Now), edits...)
}

func newSQLiteRig(t testing.TB, edits ...func(*dispatcher.Config)) *rig {
	clock := relaytest.NewClock()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "hookferry.db"), Now: clock.Now, Retention: relaytest.Retention})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return assemble(t, clock, db, db.Queue("events"), db.Queue("retries"), edits...)
}

func assemble(t testing.TB, clock *relaytest.Clock, store relay.Store, events, retries relaytest.Lane, edits ...func(*dispatcher.Config)) *rig {
	r := &rig{
		TB: t, clock: clock, keys: seal.Generate(), log: &lockedBuffer{}, invocation: time.Minute,
		store: &faultyStore{Store: store}, events: &faultyLane{Lane: events}, retries: &faultyLane{Lane: retries},
	}
	r.dest = &destination{clock: clock}
	server := httptest.NewServer(r.dest)
	t.Cleanup(server.Close)
	r.dest.url = server.URL
	client := egress.New(egress.Config{Policy: egress.Policy{AllowPrivate: true}})
	t.Cleanup(client.CloseIdle)
	r.cfg = dispatcher.Config{
		Store: r.store, Events: r.events, Retries: r.retries, Keys: r.keys, Client: client, Now: clock.Now,
		Log: telemetry.New(slog.New(slog.NewJSONHandler(r.log, nil)), clock.Now),
	}
	for _, edit := range edits {
		edit(&r.cfg)
	}
	r.restart()
	return r
}

// restart makes a new dispatcher, as a new process would.
func (r *rig) restart() { r.d = dispatcher.New(r.cfg) }

func (r *rig) check(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// endpoint creates an endpoint whose URL is the destination's path name.
func (r *rig) endpoint(name string, edits ...func(*relay.Endpoint)) relay.Endpoint {
	r.Helper()
	now := r.clock.Now()
	ep := relay.Endpoint{
		ID: "whend_" + name, Account: account, Name: name, URL: r.dest.url + "/" + name, EventTypes: []string{"*"},
		Format: relay.FormatRivya, Signatures: []relay.Scheme{relay.SchemeRivya}, Status: relay.Active, CreatedAt: now, UpdatedAt: now,
	}
	ep.Secret = r.seal(ep, "signing_secret", secretOf(name))
	for _, edit := range edits {
		edit(&ep)
	}
	r.check(r.store.CreateEndpoint(r.Context(), ep, 1000))
	return ep
}

func secretOf(name string) relay.Secret {
	return relay.Secret("whsec_" + strings.Repeat("A", 31) + string("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[len(name)%26]))
}

func (r *rig) seal(ep relay.Endpoint, field string, s relay.Secret) relay.Sealed {
	return r.keys.Seal(s, seal.Place{Account: ep.Account, Object: ep.ID, Field: field})
}

// edit changes an endpoint as its owner would.
func (r *rig) edit(id string, edit func(*relay.Endpoint)) {
	r.Helper()
	ep, err := r.store.Endpoint(r.Context(), account, id)
	r.check(err)
	edit(&ep)
	ep.UpdatedAt = r.clock.Now()
	r.check(r.store.UpdateEndpoint(r.Context(), ep))
}

// newEvent returns an event that was accepted now.
func (r *rig) newEvent(id string, edits ...func(*relay.Event)) relay.Event {
	ev := relay.Event{
		ID: id, Account: account, Type: "generation.succeeded", Format: relay.FormatRivya, SourceID: "src_1",
		VerifiedBy: relay.VerifiedBySignature, CreatedAt: relay.Millis(r.clock.Now()), RequestID: "req_in",
		Payload: relay.NewPayload([]byte(`{"id":"` + id + `", "odd":  "spacing"}`)),
	}
	for _, edit := range edits {
		edit(&ev)
	}
	return ev
}

// accept puts an event on the events queue and returns its message.
func (r *rig) accept(id string, edits ...func(*relay.Event)) relay.Message {
	r.Helper()
	m := relay.NewEventMessage(r.newEvent(id, edits...))
	r.send(r.events, m)
	return m
}

func (r *rig) send(q relay.Queue, m relay.Message) {
	r.Helper()
	r.check(q.Send(r.Context(), m.Outgoing(r.clock.Now())))
}

// handle takes one batch from a lane, handles it as a process would, and returns
// how many messages it had and how many of those failed.
func (r *rig) handle(lane *faultyLane) (got, failed int) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), r.invocation)
	defer cancel()
	batch, err := lane.Receive(ctx, relay.MaxBatch, 0, 6*time.Minute)
	r.check(err)
	if len(batch) == 0 {
		return 0, 0
	}
	bad := r.d.Handle(ctx, lane, batch)
	done := slices.DeleteFunc(slices.Clone(batch), func(m relay.Received) bool { return slices.Contains(bad, m.ID) })
	r.check(lane.Delete(r.Context(), done...))
	return len(batch), len(bad)
}

// settleNow handles whatever can be received without moving the clock.
func (r *rig) settleNow() {
	r.Helper()
	for {
		a, _ := r.handle(r.events)
		b, _ := r.handle(r.retries)
		if a+b == 0 {
			return
		}
	}
}

// run lets time pass, handling every message as it becomes visible.
func (r *rig) run(d time.Duration) {
	r.Helper()
	end := r.clock.Now().Add(d)
	for {
		r.settleNow()
		next := r.clock.Now().Add(time.Second)
		if exact, ok := r.nextVisible(); ok {
			next = exact
		}
		if !next.Before(end) {
			r.clock.Set(end)
			r.settleNow()
			return
		}
		r.clock.Set(next)
	}
}

func (r *rig) nextVisible() (next time.Time, ok bool) {
	for _, lane := range []*faultyLane{r.events, r.retries} {
		q, is := lane.Lane.(*relaytest.MemoryQueue)
		if !is {
			return next, false
		}
		if at, some := q.NextVisible(); some && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	if next.IsZero() {
		next = r.clock.Now().Add(1000 * time.Hour) // nothing is to come
	}
	return next, true
}

// attempts returns an endpoint's attempts, the oldest first.
func (r *rig) attempts(endpoint string) (all []relay.Attempt) {
	r.Helper()
	p := relay.Page{Limit: 100}
	for {
		as, next, err := r.store.Attempts(r.Context(), endpoint, relay.AttemptFilter{}, p)
		r.check(err)
		all = append(all, as...)
		if p.After = next; next == "" {
			slices.SortFunc(all, func(a, b relay.Attempt) int {
				return cmp.Or(a.DueAt.Compare(b.DueAt), cmp.Compare(a.Run, b.Run), cmp.Compare(a.Number, b.Number))
			})
			return all
		}
	}
}

// deliveries returns an event's deliveries by endpoint and whether it is listed.
func (r *rig) deliveries(event string) (map[string]relay.Delivery, bool) {
	r.Helper()
	rec, err := r.store.Event(r.Context(), account, event, true)
	r.check(err)
	ds, listed, err := r.store.Deliveries(r.Context(), rec)
	r.check(err)
	by := map[string]relay.Delivery{}
	for _, d := range ds {
		by[d.EndpointID] = d
	}
	return by, listed
}

// status returns the event's status as its list shows it, "" if it is not there.
func (r *rig) status(event string) relay.EventStatus {
	r.Helper()
	evs, _, err := r.store.Events(r.Context(), account, relay.EventFilter{}, relay.Page{Limit: 100})
	r.check(err)
	for _, ev := range evs {
		if ev.ID == event {
			return ev.Status
		}
	}
	return ""
}

// onQueue decodes the messages that are on a lane of the memory kind.
func (r *rig) onQueue(lane *faultyLane) (ms []relay.Message) {
	r.Helper()
	for _, body := range lane.Lane.(*relaytest.MemoryQueue).Bodies() {
		m, err := relay.DecodeMessage(body)
		r.check(err)
		ms = append(ms, m)
	}
	return ms
}
