package relaytest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"hookferry/shared/relay"
)

// recorded holds an attempt that was put on the store to what came before it.
func (w *World) recorded(a relay.Attempt, existing *relay.Attempt) {
	w.mu.Lock()
	p := w.byRequest[a.RequestID]
	if existing != nil {
		if p != nil && existing.RequestID != a.RequestID {
			p.repeated = true
		}
		w.mu.Unlock()
		return
	}
	d := w.delivery(deliveryKey{a.EventID, a.EndpointID})
	d.attempts[a.Run] = append(d.attempts[a.Run], a)
	success, again := d.succeeded[a.Run]
	if a.Status == relay.AttemptSucceeded {
		d.succeeded[a.Run] = w.step
	}
	if a.Final {
		d.ended[a.Run] = string(a.Status)
	}
	if p != nil {
		p.recorded = true
	}
	newer := -1
	for run, step := range d.runSteps {
		if p != nil && run > a.Run && step < p.step {
			newer = run
		}
	}
	e := w.events[a.EventID]
	since, hurried := w.hurried[a.EndpointID]
	w.mu.Unlock()

	what := fmt.Sprintf("%s to %s run %d number %d", a.EventID, a.EndpointID, a.Run, a.Number)
	w.tracef("record %s: %s final %v %s", what, a.Status, a.Final, a.ErrorMessage)
	if again && p != nil && success < p.step {
		w.violatedf("%s was made after a success that step %d recorded", what, success)
	}
	if newer > 0 {
		w.violatedf("%s was posted after run %d had begun", what, newer)
	}
	if a.Number > 1 && a.CreatedAt.Before(a.DueAt) && (!hurried || a.CreatedAt.Before(since)) {
		w.violatedf("%s was made at %v, before it was due at %v", what, a.CreatedAt, a.DueAt)
	}
	gaveUp := a.Status == relay.AttemptFailed && a.HTTPStatus == 0 && a.Final && a.ErrorCode == relay.CodeExpired
	switch {
	case a.Status == relay.AttemptSkipped:
		if !a.Final {
			w.violatedf("%s is skipped and not final", what)
		}
	case gaveUp:
		if e != nil && !w.pastEnd(a, e.CreatedAt) {
			w.violatedf("%s was given up before its end", what)
		}
	case p == nil:
		w.violatedf("%s has no POST", what)
	default:
		if p.event != a.EventID || p.endpoint != a.EndpointID || p.number != a.Number || p.status != a.HTTPStatus ||
			(p.status/100 == 2) != (a.Status == relay.AttemptSucceeded) {
			w.violatedf("%s is recorded as %s %d %q, and its POST was number %d, answered %d", what, a.Status, a.HTTPStatus, a.ErrorMessage, p.number, p.status)
		}
		if last := a.Number == len(w.cfg.Schedule); a.Final != (a.Status == relay.AttemptSucceeded || last) {
			w.violatedf("%s is %s, and final is %v", what, a.Status, a.Final)
		}
		if !a.Final {
			if wait := a.NextAttemptAt.Sub(a.CreatedAt); wait < w.cfg.Schedule[a.Number] || wait > relay.MaxRetryAfter+time.Minute {
				w.violatedf("%s is followed after %v", what, wait)
			}
		}
	}
}

func (w *World) pastEnd(a relay.Attempt, accepted time.Time) bool {
	if a.Run > 0 {
		w.mu.Lock()
		accepted = w.delivery(deliveryKey{a.EventID, a.EndpointID}).startedAt
		w.mu.Unlock()
	}
	return !a.CreatedAt.Before(accepted.Add(relay.GiveUpAfter))
}

// checkMatch holds an event's matches to the endpoints that have not changed
// for as long as an edit may take to be seen.
func (w *World) checkMatch(r relay.EventRecord) {
	for id, e := range w.endpoints {
		state, ok := e.stable(w.Clock.Now().Add(-bite), w.Clock.Now())
		if !ok {
			continue
		}
		want := r.Only == id || r.Only == "" && !state.deleted && state.wants(r.Type)
		if got := slices.Contains(r.Matched, id); got != want {
			w.violatedf("%s (%s) is matched to %s: %v, want %v", r.ID, r.Type, id, got, want)
		}
	}
}

// messages returns every message there is: visible, hidden, delayed, dead, or to
// be received once more.
func (w *World) messages(ctx context.Context) []relay.Message {
	var out []relay.Message
	for i := range w.lanes {
		bodies := append(w.lanes[i].Bodies(), w.faulty[i].Bodies()...)
		dead, err := w.lanes[i].Dead(ctx, "", 1<<20)
		w.must(err)
		for _, d := range dead {
			bodies = append(bodies, d.Body)
		}
		for _, b := range bodies {
			m, err := relay.DecodeMessage(b)
			if err != nil {
				w.violatedf("a message that cannot be decoded: %v", err)
				continue
			}
			out = append(out, m)
		}
	}
	return out
}

// A chain is what messages will make of a delivery: the attempts that are not on
// record and will be made.
type chains map[deliveryKey]map[string]bool

func (c chains) add(k deliveryKey, attempt string) {
	if c[k] == nil {
		c[k] = map[string]bool{}
	}
	c[k][attempt] = true
}

// join makes an attempt, and the one before it that was made and waits to be
// recorded, one chain.
func (c chains) join(k deliveryKey, made, next string) {
	if c[k][made] && c[k][next] {
		delete(c[k], made)
	}
}

// chains returns what the messages will make of each delivery, and the events whose
// own message is on a queue, and whose confirmation is asked for.
func (w *World) chains(ctx context.Context, records map[string]relay.EventRecord) (found chains, queued, confirming map[string]bool) {
	found, queued, confirming = chains{}, map[string]bool{}, map[string]bool{}
	// follow adds the attempt that a message with mid leads to.
	follow := func(k deliveryKey, mid string, run, number int, due time.Time) {
		r, ok := records[k.event]
		if !ok || run < r.Latest(k.endpoint) {
			return
		}
		id := relay.AttemptID(WorldAccount, k.event, k.endpoint, run, number, due)
		a, err := w.store.Attempt(ctx, WorldAccount, k.endpoint, id)
		if err != nil {
			found.add(k, id)
			return
		}
		if a.MID == mid && !a.Final {
			next := relay.AttemptID(WorldAccount, k.event, k.endpoint, run, number+1, a.NextAttemptAt)
			if _, err := w.store.Attempt(ctx, WorldAccount, k.endpoint, next); err != nil {
				found.add(k, next)
			}
		}
	}
	messages := w.messages(ctx)
	for _, m := range messages {
		switch m.Kind {
		case relay.MessageEvent:
			r, ok := records[m.Event.ID]
			queued[m.Event.ID] = true
			if ok && r.MID == m.MID {
				confirming[r.ID] = true
				for _, endpoint := range r.Matched {
					follow(deliveryKey{r.ID, endpoint}, m.MID, 0, 1, r.CreatedAt)
				}
			}
		case relay.MessageAttempt:
			follow(deliveryKey{m.Ref.ID, m.EndpointID}, m.MID, m.Run, m.Number, m.DueAt)
		case relay.MessageRecord:
			a := m.Attempt
			follow(deliveryKey{a.EventID, a.EndpointID}, a.MID, a.Run, a.Number, a.DueAt)
		case relay.MessageReplay:
			for k, d := range w.deliv {
				if d.token == m.ReplayID && d.run > 0 {
					follow(k, "", d.run, 1, d.startedAt)
				}
			}
		case relay.MessageConfirm:
			confirming[m.Ref.ID] = true
		}
	}
	for _, m := range messages {
		if a := m.Attempt; a != nil && !a.Final {
			k := deliveryKey{a.EventID, a.EndpointID}
			found.join(k, a.ID, relay.AttemptID(WorldAccount, a.EventID, a.EndpointID, a.Run, a.Number+1, a.NextAttemptAt))
		}
	}
	return found, queued, confirming
}

// Check holds the world to the ledger between two steps, when no process is in
// the middle of anything: every accepted event is on the store or on a queue,
// every delivery that is open has one chain of attempts, and only one.
func (w *World) Check(ctx context.Context) {
	records := map[string]relay.EventRecord{}
	for id := range w.events {
		if r, err := w.store.Event(ctx, WorldAccount, id, true); err == nil {
			records[id] = r
		}
	}
	found, queued, confirming := w.chains(ctx, records)
	for k, set := range found {
		if len(set) > 1 {
			w.violatedf("%s to %s has %d live chains", k.event, k.endpoint, len(set))
		}
	}
	for id, e := range w.events {
		r, ok := records[id]
		switch {
		case !ok && e.accepted && !queued[id] && e.putAt.IsZero():
			w.violatedf("%s was accepted and is nowhere", id)
		case ok:
			w.checkOpen(ctx, r, e, found, confirming[id])
		}
	}
}

// checkOpen holds each open delivery of an event to having a chain.
func (w *World) checkOpen(ctx context.Context, r relay.EventRecord, e *worldEvent, found chains, confirming bool) {
	for _, endpoint := range r.Matched {
		k := deliveryKey{r.ID, endpoint}
		w.mu.Lock()
		d := w.delivery(k)
		_, ended := d.ended[r.Latest(endpoint)]
		loose := d.loose || w.isLoose(d.token)
		w.mu.Unlock()
		if ended || loose || len(found[k]) > 0 {
			continue
		}
		if e.Confirm != "" && (confirming || e.verdict != confirmed || w.jumped) && r.Latest(endpoint) == 0 {
			continue // waits for the confirmation, or was rejected: Rest looks
		}
		if e.Confirm != "" && w.repairable(ctx, r, endpoint) {
			continue // relayed by another message than the one that made the attempt
		}
		w.violatedf("%s to %s is open, and no message leads on", r.ID, endpoint)
	}
}

// repairable reports whether the repair walk will find a delivery.
func (w *World) repairable(ctx context.Context, r relay.EventRecord, endpoint string) bool {
	ds, _, err := w.store.Deliveries(ctx, r)
	w.must(err)
	return slices.ContainsFunc(ds, func(d relay.Delivery) bool {
		return d.EndpointID == endpoint && d.Open() && !d.NextAttemptAt.IsZero()
	})
}

// isLoose reports whether a run was begun by a replay that has ended before its
// time, which may leave it without a message; the caller holds mu.
func (w *World) isLoose(token string) bool {
	if !strings.HasPrefix(token, relay.ReplayPrefix) {
		return false
	}
	r, err := w.store.Replay(context.Background(), WorldAccount, token)
	return err != nil || r.Status == relay.ReplayCancelled
}
