package relaytest

import (
	"context"
	"strings"
	"time"

	"hookferry/shared/relay"
)

// A Call is one call of a store's method.
type Call struct {
	Op    string // the method's name
	About string // what it is about: an ID
	Write bool
}

// Intercept returns a store that makes each call of s through around, whose
// error is the call's. around may leave do out, or run it and return an error
// all the same; then the call returns no values.
func Intercept(s relay.Store, around func(ctx context.Context, c Call, do func() error) error) relay.Store {
	// The type names every method itself, so that one that is added to the port
	// does not slip through.
	return &intercepted{s, around}
}

type intercepted struct {
	next   relay.Store
	around func(ctx context.Context, c Call, do func() error) error
}

func one[T any](ctx context.Context, s *intercepted, c Call, do func() (T, error)) (T, error) {
	v, _, err := two(ctx, s, c, func() (T, struct{}, error) {
		v, err := do()
		return v, struct{}{}, err
	})
	return v, err
}

func two[T, U any](ctx context.Context, s *intercepted, c Call, do func() (T, U, error)) (v T, u U, err error) {
	err = s.around(ctx, c, func() (err error) {
		v, u, err = do()
		return err
	})
	if err != nil {
		var noT T
		var noU U
		return noT, noU, err
	}
	return v, u, nil
}

func (s *intercepted) CreateAccount(ctx context.Context, a relay.Account) error {
	return s.around(ctx, Call{"CreateAccount", a.Name, true}, func() error { return s.next.CreateAccount(ctx, a) })
}

func (s *intercepted) AccountByName(ctx context.Context, name string) (relay.Account, error) {
	return one(ctx, s, Call{"AccountByName", name, false}, func() (relay.Account, error) { return s.next.AccountByName(ctx, name) })
}

func (s *intercepted) Accounts(ctx context.Context, p relay.Page) ([]relay.Account, string, error) {
	return two(ctx, s, Call{"Accounts", p.After, false}, func() ([]relay.Account, string, error) { return s.next.Accounts(ctx, p) })
}

func (s *intercepted) CreateKey(ctx context.Context, k relay.Key, limit int) error {
	return s.around(ctx, Call{"CreateKey", k.ID, true}, func() error { return s.next.CreateKey(ctx, k, limit) })
}

func (s *intercepted) KeyByHash(ctx context.Context, h relay.KeyHash) (relay.Key, error) {
	return one(ctx, s, Call{"KeyByHash", string(h[:]), false}, func() (relay.Key, error) { return s.next.KeyByHash(ctx, h) })
}

func (s *intercepted) Key(ctx context.Context, account, id string) (relay.Key, error) {
	return one(ctx, s, Call{"Key", id, false}, func() (relay.Key, error) { return s.next.Key(ctx, account, id) })
}

func (s *intercepted) Keys(ctx context.Context, account string, p relay.Page) ([]relay.Key, string, error) {
	return two(ctx, s, Call{"Keys", account + p.After, false}, func() ([]relay.Key, string, error) { return s.next.Keys(ctx, account, p) })
}

func (s *intercepted) RevokeKey(ctx context.Context, account, id string, at time.Time, keep relay.Scope) (relay.Key, error) {
	return one(ctx, s, Call{"RevokeKey", id, true}, func() (relay.Key, error) { return s.next.RevokeKey(ctx, account, id, at, keep) })
}

func (s *intercepted) PutIdempotency(ctx context.Context, r relay.Idempotency) (*relay.Idempotency, error) {
	return one(ctx, s, Call{"PutIdempotency", string(r.Key[:]), true}, func() (*relay.Idempotency, error) { return s.next.PutIdempotency(ctx, r) })
}

func (s *intercepted) CreateEndpoint(ctx context.Context, e relay.Endpoint, limit int) error {
	return s.around(ctx, Call{"CreateEndpoint", e.ID, true}, func() error { return s.next.CreateEndpoint(ctx, e, limit) })
}

func (s *intercepted) UpdateEndpoint(ctx context.Context, e relay.Endpoint) error {
	return s.around(ctx, Call{"UpdateEndpoint", e.ID, true}, func() error { return s.next.UpdateEndpoint(ctx, e) })
}

func (s *intercepted) Endpoint(ctx context.Context, account, id string) (relay.Endpoint, error) {
	return one(ctx, s, Call{"Endpoint", id, false}, func() (relay.Endpoint, error) { return s.next.Endpoint(ctx, account, id) })
}

func (s *intercepted) Endpoints(ctx context.Context, account string, p relay.Page) ([]relay.Endpoint, string, error) {
	return two(ctx, s, Call{"Endpoints", account + p.After, false}, func() ([]relay.Endpoint, string, error) { return s.next.Endpoints(ctx, account, p) })
}

func (s *intercepted) LiveEndpoints(ctx context.Context, account string) ([]relay.Endpoint, error) {
	return one(ctx, s, Call{"LiveEndpoints", account, false}, func() ([]relay.Endpoint, error) { return s.next.LiveEndpoints(ctx, account) })
}

func (s *intercepted) Counters(ctx context.Context, endpoints ...string) (map[string]relay.Counters, error) {
	return one(ctx, s, Call{"Counters", strings.Join(endpoints, ","), false}, func() (map[string]relay.Counters, error) { return s.next.Counters(ctx, endpoints...) })
}

func (s *intercepted) AddOutcomes(ctx context.Context, endpoint string, o relay.Outcomes) (relay.Counters, error) {
	return one(ctx, s, Call{"AddOutcomes", endpoint, true}, func() (relay.Counters, error) { return s.next.AddOutcomes(ctx, endpoint, o) })
}

func (s *intercepted) TakeMark(ctx context.Context, endpoint string, m relay.Mark, free, to time.Time) (bool, error) {
	return one(ctx, s, Call{"TakeMark", endpoint, true}, func() (bool, error) { return s.next.TakeMark(ctx, endpoint, m, free, to) })
}

func (s *intercepted) ResetCounters(ctx context.Context, endpoint string) error {
	return s.around(ctx, Call{"ResetCounters", endpoint, true}, func() error { return s.next.ResetCounters(ctx, endpoint) })
}

func (s *intercepted) CreateSource(ctx context.Context, src relay.Source, limit int) error {
	return s.around(ctx, Call{"CreateSource", src.ID, true}, func() error { return s.next.CreateSource(ctx, src, limit) })
}

func (s *intercepted) UpdateSource(ctx context.Context, src relay.Source) error {
	return s.around(ctx, Call{"UpdateSource", src.ID, true}, func() error { return s.next.UpdateSource(ctx, src) })
}

func (s *intercepted) DeleteSource(ctx context.Context, account, id string) error {
	return s.around(ctx, Call{"DeleteSource", id, true}, func() error { return s.next.DeleteSource(ctx, account, id) })
}

func (s *intercepted) Source(ctx context.Context, account, id string) (relay.Source, error) {
	return one(ctx, s, Call{"Source", id, false}, func() (relay.Source, error) { return s.next.Source(ctx, account, id) })
}

func (s *intercepted) Sources(ctx context.Context, account string, p relay.Page) ([]relay.Source, string, error) {
	return two(ctx, s, Call{"Sources", account + p.After, false}, func() ([]relay.Source, string, error) { return s.next.Sources(ctx, account, p) })
}

func (s *intercepted) IngestSource(ctx context.Context, id string) (relay.Source, error) {
	return one(ctx, s, Call{"IngestSource", id, false}, func() (relay.Source, error) { return s.next.IngestSource(ctx, id) })
}

func (s *intercepted) PutExpectation(ctx context.Context, x relay.Expectation, limit int) (*relay.Expectation, error) {
	return one(ctx, s, Call{"PutExpectation", x.SourceID + x.RequestID, true}, func() (*relay.Expectation, error) { return s.next.PutExpectation(ctx, x, limit) })
}

func (s *intercepted) Expectation(ctx context.Context, source, request string) (relay.Expectation, error) {
	return one(ctx, s, Call{"Expectation", source + request, false}, func() (relay.Expectation, error) { return s.next.Expectation(ctx, source, request) })
}

func (s *intercepted) Expectations(ctx context.Context, source string, p relay.Page) ([]relay.Expectation, string, error) {
	return two(ctx, s, Call{"Expectations", source + p.After, false}, func() ([]relay.Expectation, string, error) { return s.next.Expectations(ctx, source, p) })
}

func (s *intercepted) UpdateExpectation(ctx context.Context, x relay.Expectation, asked int) error {
	return s.around(ctx, Call{"UpdateExpectation", x.SourceID + x.RequestID, true}, func() error { return s.next.UpdateExpectation(ctx, x, asked) })
}

func (s *intercepted) ResolveExpectation(ctx context.Context, source, request, event string) (relay.Expectation, error) {
	return one(ctx, s, Call{"ResolveExpectation", source + request, true}, func() (relay.Expectation, error) { return s.next.ResolveExpectation(ctx, source, request, event) })
}

func (s *intercepted) DeleteExpectation(ctx context.Context, source, request string) error {
	return s.around(ctx, Call{"DeleteExpectation", source + request, true}, func() error { return s.next.DeleteExpectation(ctx, source, request) })
}

func (s *intercepted) PutEvent(ctx context.Context, r relay.EventRecord) (*relay.EventRecord, error) {
	return one(ctx, s, Call{"PutEvent", r.ID, true}, func() (*relay.EventRecord, error) { return s.next.PutEvent(ctx, r) })
}

func (s *intercepted) ClaimEvent(ctx context.Context, ref relay.EventRef, from, until time.Time) error {
	return s.around(ctx, Call{"ClaimEvent", ref.ID, true}, func() error { return s.next.ClaimEvent(ctx, ref, from, until) })
}

func (s *intercepted) Event(ctx context.Context, account, id string, consistent bool) (relay.EventRecord, error) {
	return one(ctx, s, Call{"Event", id, false}, func() (relay.EventRecord, error) { return s.next.Event(ctx, account, id, consistent) })
}

func (s *intercepted) ConfirmEvent(ctx context.Context, ref relay.EventRef, claimed time.Time, a relay.Answer, body relay.Payload) error {
	return s.around(ctx, Call{"ConfirmEvent", ref.ID, true}, func() error { return s.next.ConfirmEvent(ctx, ref, claimed, a, body) })
}

func (s *intercepted) EventsByID(ctx context.Context, account, id string) ([]relay.EventRecord, error) {
	return one(ctx, s, Call{"EventsByID", id, false}, func() ([]relay.EventRecord, error) { return s.next.EventsByID(ctx, account, id) })
}

func (s *intercepted) ListEvent(ctx context.Context, ev relay.Event, ds []relay.Delivery) error {
	return s.around(ctx, Call{"ListEvent", ev.ID, true}, func() error { return s.next.ListEvent(ctx, ev, ds) })
}

func (s *intercepted) SaveDelivery(ctx context.Context, ref relay.EventRef, d relay.Delivery) error {
	return s.around(ctx, Call{"SaveDelivery", ref.ID + d.EndpointID, true}, func() error { return s.next.SaveDelivery(ctx, ref, d) })
}

func (s *intercepted) Deliveries(ctx context.Context, r relay.EventRecord) ([]relay.Delivery, bool, error) {
	return two(ctx, s, Call{"Deliveries", r.ID, false}, func() ([]relay.Delivery, bool, error) { return s.next.Deliveries(ctx, r) })
}

func (s *intercepted) StartRun(ctx context.Context, account, event, endpoint, token string, at time.Time) (relay.Run, error) {
	return one(ctx, s, Call{"StartRun", event + endpoint, true}, func() (relay.Run, error) { return s.next.StartRun(ctx, account, event, endpoint, token, at) })
}

func (s *intercepted) Events(ctx context.Context, account string, f relay.EventFilter, p relay.Page) ([]relay.EventSummary, string, error) {
	return two(ctx, s, Call{"Events", account + p.After, false}, func() ([]relay.EventSummary, string, error) { return s.next.Events(ctx, account, f, p) })
}

func (s *intercepted) Overdue(ctx context.Context, t time.Time, p relay.Page) ([]relay.Overdue, string, error) {
	return two(ctx, s, Call{"Overdue", p.After, false}, func() ([]relay.Overdue, string, error) { return s.next.Overdue(ctx, t, p) })
}

func (s *intercepted) RecordAttempt(ctx context.Context, a relay.Attempt) (*relay.Attempt, error) {
	return one(ctx, s, Call{"RecordAttempt", a.ID, true}, func() (*relay.Attempt, error) { return s.next.RecordAttempt(ctx, a) })
}

func (s *intercepted) Attempt(ctx context.Context, account, endpoint, id string) (relay.Attempt, error) {
	return one(ctx, s, Call{"Attempt", id, false}, func() (relay.Attempt, error) { return s.next.Attempt(ctx, account, endpoint, id) })
}

func (s *intercepted) Attempts(ctx context.Context, endpoint string, f relay.AttemptFilter, p relay.Page) ([]relay.Attempt, string, error) {
	return two(ctx, s, Call{"Attempts", endpoint + p.After, false}, func() ([]relay.Attempt, string, error) { return s.next.Attempts(ctx, endpoint, f, p) })
}

func (s *intercepted) EventAttempts(ctx context.Context, ref relay.EventRef, endpoints []string, limit int) ([]relay.Attempt, error) {
	return one(ctx, s, Call{"EventAttempts", ref.ID, false}, func() ([]relay.Attempt, error) {
		return s.next.EventAttempts(ctx, ref, endpoints, limit)
	})
}

func (s *intercepted) EndAttempt(ctx context.Context, a relay.Attempt) error {
	return s.around(ctx, Call{"EndAttempt", a.ID, true}, func() error { return s.next.EndAttempt(ctx, a) })
}

func (s *intercepted) OpenDeliveries(ctx context.Context, account, endpoint string, since, until time.Time, p relay.Page) ([]relay.Overdue, string, error) {
	return two(ctx, s, Call{"OpenDeliveries", endpoint + p.After, false}, func() ([]relay.Overdue, string, error) {
		return s.next.OpenDeliveries(ctx, account, endpoint, since, until, p)
	})
}

func (s *intercepted) Replays(ctx context.Context, account string, p relay.Page) ([]relay.Replay, string, error) {
	return two(ctx, s, Call{"Replays", account + p.After, false}, func() ([]relay.Replay, string, error) { return s.next.Replays(ctx, account, p) })
}

func (s *intercepted) UnfinishedReplays(ctx context.Context, p relay.Page) ([]relay.Replay, string, error) {
	return two(ctx, s, Call{"UnfinishedReplays", p.After, false}, func() ([]relay.Replay, string, error) { return s.next.UnfinishedReplays(ctx, p) })
}

func (s *intercepted) ReplaySlot(ctx context.Context, endpoint string, now time.Time, long time.Duration) (time.Time, bool, error) {
	return two(ctx, s, Call{"ReplaySlot", endpoint, true}, func() (time.Time, bool, error) { return s.next.ReplaySlot(ctx, endpoint, now, long) })
}

func (s *intercepted) CreateReplay(ctx context.Context, r relay.Replay) error {
	return s.around(ctx, Call{"CreateReplay", r.ID, true}, func() error { return s.next.CreateReplay(ctx, r) })
}

func (s *intercepted) Replay(ctx context.Context, account, id string) (relay.Replay, error) {
	return one(ctx, s, Call{"Replay", id, false}, func() (relay.Replay, error) { return s.next.Replay(ctx, account, id) })
}

func (s *intercepted) UpdateReplay(ctx context.Context, r relay.Replay) error {
	return s.around(ctx, Call{"UpdateReplay", r.ID, true}, func() error { return s.next.UpdateReplay(ctx, r) })
}

func (s *intercepted) AddRefusals(ctx context.Context, r relay.Refusal) error {
	return s.around(ctx, Call{"AddRefusals", r.SourceID + r.Reason, true}, func() error { return s.next.AddRefusals(ctx, r) })
}

func (s *intercepted) Refusals(ctx context.Context, source string, p relay.Page) ([]relay.Refusal, string, error) {
	return two(ctx, s, Call{"Refusals", source + p.After, false}, func() ([]relay.Refusal, string, error) { return s.next.Refusals(ctx, source, p) })
}

func (s *intercepted) Activity(ctx context.Context, step time.Duration, since time.Time, endpoints ...string) (map[string]relay.Activity, error) {
	return one(ctx, s, Call{"Activity", strings.Join(endpoints, ","), false}, func() (map[string]relay.Activity, error) {
		return s.next.Activity(ctx, step, since, endpoints...)
	})
}
