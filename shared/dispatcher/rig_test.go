package dispatcher_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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

// A destination is what endpoints point to. It answers 200 unless told.
type destination struct {
	clock *relaytest.Clock
	url   string

	mu     sync.Mutex
	calls  []call
	answer func(c call) reply
	busy   int
	most   int // calls at once
}

type call struct {
	at     time.Time
	name   string
	header http.Header
	body   string
	host   string
}

type reply struct {
	status     int
	body       string
	retryAfter string
	location   string
	hold       time.Duration // real time
}

func (d *destination) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	c := call{at: d.clock.Now(), name: strings.TrimPrefix(req.URL.Path, "/"), header: req.Header, body: string(body), host: req.Host}
	d.mu.Lock()
	d.calls = append(d.calls, c)
	d.busy++
	d.most = max(d.most, d.busy)
	answer := d.answer
	d.mu.Unlock()
	rep := reply{status: 200}
	if answer != nil {
		rep = answer(c)
	}
	if rep.hold > 0 {
		select {
		case <-time.After(rep.hold):
		case <-req.Context().Done():
		}
	}
	d.mu.Lock()
	d.busy--
	d.mu.Unlock()
	if rep.retryAfter != "" {
		w.Header().Set("Retry-After", rep.retryAfter)
	}
	if rep.location != "" {
		w.Header().Set("Location", rep.location)
	}
	w.WriteHeader(cmp.Or(rep.status, 200))
	io.WriteString(w, rep.body)
}

// answers sets what the destination does.
func (d *destination) answers(f func(c call) reply) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = f
}

func (d *destination) always(status int) {
	d.answers(func(call) reply { return reply{status: status} })
}

// to returns the calls that one endpoint has had.
func (d *destination) to(name string) (cs []call) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.calls {
		if c.name == name {
			cs = append(cs, c)
		}
	}
	return cs
}

func (d *destination) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.calls)
}

// faults counts operations and makes them fail. before comes in place of the
// operation, after when it has taken effect.
type faults struct {
	mu     sync.Mutex
	counts map[string]int
	hangs  func(op string) error
	before func(op string) error
	after  func(op string) error
}

func (f *faults) enter(op string) error {
	f.mu.Lock()
	if f.counts == nil {
		f.counts = map[string]int{}
	}
	f.counts[op]++
	before := f.before
	f.mu.Unlock()
	if before != nil {
		return before(op)
	}
	return nil
}

func (f *faults) leave(op string, err error) error {
	f.mu.Lock()
	after := f.after
	f.mu.Unlock()
	if err == nil && after != nil {
		return after(op)
	}
	return err
}

// fail makes the named operations fail until heal.
func (f *faults) fail(ops ...string) {
	f.set(func(op string) error {
		if slices.Contains(ops, op) {
			return fmt.Errorf("%s: throttled", op)
		}
		return nil
	}, nil)
}

// hang makes operations wait, each until its own context or f ends.
func (f *faults) hang(wait func(op string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hangs = wait
}

// during waits with an operation that hangs, and reports its context's end.
func (f *faults) during(ctx context.Context, op string) error {
	f.mu.Lock()
	hangs := f.hangs
	f.mu.Unlock()
	if hangs == nil {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- hangs(op) }()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-done:
		return err
	}
}

func (f *faults) heal() { f.set(nil, nil) }

func (f *faults) set(before, after func(op string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

func (f *faults) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts = nil
}

func (f *faults) seen() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := map[string]int{}
	for op, n := range f.counts {
		seen[op] = n
	}
	return seen
}

type faultyStore struct {
	relay.Store
	faults
}

func (s *faultyStore) PutEvent(ctx context.Context, rec relay.EventRecord) (*relay.EventRecord, error) {
	if err := s.enter("PutEvent"); err != nil {
		return nil, err
	}
	if err := s.during(ctx, "PutEvent"); err != nil {
		return nil, err
	}
	existing, err := s.Store.PutEvent(ctx, rec)
	return existing, s.leave("PutEvent", err)
}

func (s *faultyStore) ClaimEvent(ctx context.Context, ref relay.EventRef, from, until time.Time) error {
	if err := s.enter("ClaimEvent"); err != nil {
		return err
	}
	if err := s.during(ctx, "ClaimEvent"); err != nil {
		return err
	}
	return s.leave("ClaimEvent", s.Store.ClaimEvent(ctx, ref, from, until))
}

func (s *faultyStore) Event(ctx context.Context, acct, id string, consistent bool) (relay.EventRecord, error) {
	if err := s.enter("Event"); err != nil {
		return relay.EventRecord{}, err
	}
	if err := s.during(ctx, "Event"); err != nil {
		return relay.EventRecord{}, err
	}
	return s.Store.Event(ctx, acct, id, consistent)
}

func (s *faultyStore) ListEvent(ctx context.Context, ev relay.Event, ds []relay.Delivery) error {
	if err := s.enter("ListEvent"); err != nil {
		return err
	}
	if err := s.during(ctx, "ListEvent"); err != nil {
		return err
	}
	return s.leave("ListEvent", s.Store.ListEvent(ctx, ev, ds))
}

func (s *faultyStore) SaveDelivery(ctx context.Context, ref relay.EventRef, d relay.Delivery) error {
	if err := s.enter("SaveDelivery"); err != nil {
		return err
	}
	if err := s.during(ctx, "SaveDelivery"); err != nil {
		return err
	}
	return s.leave("SaveDelivery", s.Store.SaveDelivery(ctx, ref, d))
}

func (s *faultyStore) RecordAttempt(ctx context.Context, a relay.Attempt) (*relay.Attempt, error) {
	if err := s.enter("RecordAttempt"); err != nil {
		return nil, err
	}
	if err := s.during(ctx, "RecordAttempt"); err != nil {
		return nil, err
	}
	existing, err := s.Store.RecordAttempt(ctx, a)
	return existing, s.leave("RecordAttempt", err)
}

func (s *faultyStore) Attempt(ctx context.Context, acct, endpoint, id string) (relay.Attempt, error) {
	if err := s.enter("Attempt"); err != nil {
		return relay.Attempt{}, err
	}
	if err := s.during(ctx, "Attempt"); err != nil {
		return relay.Attempt{}, err
	}
	return s.Store.Attempt(ctx, acct, endpoint, id)
}

func (s *faultyStore) Endpoint(ctx context.Context, acct, id string) (relay.Endpoint, error) {
	if err := s.enter("Endpoint"); err != nil {
		return relay.Endpoint{}, err
	}
	if err := s.during(ctx, "Endpoint"); err != nil {
		return relay.Endpoint{}, err
	}
	return s.Store.Endpoint(ctx, acct, id)
}

func (s *faultyStore) AddOutcomes(ctx context.Context, endpoint string, o relay.Outcomes) (relay.Counters, error) {
	if err := s.enter("AddOutcomes"); err != nil {
		return relay.Counters{}, err
	}
	if err := s.during(ctx, "AddOutcomes"); err != nil {
		return relay.Counters{}, err
	}
	c, err := s.Store.AddOutcomes(ctx, endpoint, o)
	return c, s.leave("AddOutcomes", err)
}

type faultyLane struct {
	relaytest.Lane
	faults
	mu    sync.Mutex
	sent  []int // messages of each Send
	hides []time.Duration
}

func (l *faultyLane) Send(ctx context.Context, msgs ...relay.Outgoing) error {
	if err := l.enter("Send"); err != nil {
		return err
	}
	if err := l.during(ctx, "Send"); err != nil {
		return err
	}
	l.mu.Lock()
	l.sent = append(l.sent, len(msgs))
	l.mu.Unlock()
	return l.leave("Send", l.Lane.Send(ctx, msgs...))
}

func (l *faultyLane) Hide(ctx context.Context, m relay.Received, d time.Duration) error {
	if err := l.enter("Hide"); err != nil {
		return err
	}
	if err := l.during(ctx, "Hide"); err != nil {
		return err
	}
	l.mu.Lock()
	l.hides = append(l.hides, d)
	l.mu.Unlock()
	return l.Lane.Hide(ctx, m, d)
}

func (l *faultyLane) Bury(ctx context.Context, m relay.Received, reason string) error {
	if err := l.enter("Bury"); err != nil {
		return err
	}
	if err := l.during(ctx, "Bury"); err != nil {
		return err
	}
	return l.Lane.Bury(ctx, m, reason)
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
