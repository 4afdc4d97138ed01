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
	w.mu.Unlock()

	what := fmt.Sprintf("%s to %s run %d number %d", a.EventID, a.EndpointID, a.Run, a.Number)
	w.tracef("record %s: %s final %v %s", what, a.Status, a.Final, a.ErrorMessage)
	if again && p != nil && success < p.step {
		w.violatedf("%s was made after a success that step %d recorded", what, success)
	}
	if newer > 0 {
		w.violatedf("%s was posted after run %d had begun", what, newer)
	}
	if a.Number > 1 && a.CreatedAt.Before(a.DueAt) {
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

// Check holds the world to the ledger between two steps, when no process is in
// the middle of anything: every accepted event is on the store or on a queue,
// every delivery that is open has one chain of attempts, and only one.
func (w *World) Check(ctx context.Context) {
	found := chains{}
	queued, confirming := map[string]bool{}, map[string]bool{}
	records := map[string]relay.EventRecord{}
	for id := range w.events {
		if r, err := w.store.Event(ctx, WorldAccount, id, true); err == nil {
			records[id] = r
		}
	}
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

// A Ledger counts accepted events by what has become of them.
type Ledger struct {
	Accepted                                                      int
	Delivered, Failed, Skipped, Unmatched, Rejected, Pending, Old int
	Posts, Attempts, Repeats                                      int
}

// Rest ends all faults and lets the world come to rest; then every accepted
// event must have ended, and the books agree. It returns them.
func (w *World) Rest(ctx context.Context) Ledger {
	w.dice.Calm()
	w.Begin()
	w.died(w.process)
	w.StartProcess(Live())
	w.drain(ctx)
	w.Check(ctx)
	for range 3 {
		w.Begin()
		w.Clock.Advance(11 * time.Minute)
		if w.repair(ctx) == 0 {
			break
		}
		w.drain(ctx)
		w.Check(ctx)
	}
	return w.account(ctx)
}

// drain handles messages until there are none.
func (w *World) drain(ctx context.Context) {
	for range 20_000 {
		w.Begin()
		if w.Work(ctx, eventsLane)+w.Work(ctx, retriesLane) > 0 {
			continue
		}
		if next, ok := w.nextVisible(); ok {
			w.Clock.Set(next)
			continue
		}
		if !w.redrive(ctx) {
			return
		}
	}
	w.violatedf("the world does not come to rest")
}

// redrive puts back what died of faults, as its operator would.
func (w *World) redrive(ctx context.Context) (any bool) {
	for _, lane := range w.lanes {
		dead, err := lane.Dead(ctx, "", 1<<20)
		w.must(err)
		for _, d := range dead {
			if d.Reason != "" {
				w.violatedf("%s was buried: %s", describe(d.Body), d.Reason)
				w.must(lane.Drop(ctx, d))
				continue
			}
			w.must(lane.Redrive(ctx, d))
			any = true
		}
	}
	return any
}

// account holds what the store says at rest to what has truly happened.
func (w *World) account(ctx context.Context) Ledger {
	var l Ledger
	for id, e := range w.events {
		r, err := w.store.Event(ctx, WorldAccount, id, true)
		if err != nil {
			if !w.Clock.Now().Before(e.CreatedAt.Add(Retention)) && !e.putAt.IsZero() {
				l.Old++
				if e.accepted {
					l.Accepted++
				}
			} else if e.accepted {
				l.Accepted++
				w.violatedf("%s was accepted and is not on the store", id)
			}
			continue
		}
		ds, listed, err := w.store.Deliveries(ctx, r)
		w.must(err)
		if !listed {
			w.violatedf("%s is not listed", id)
		}
		status := relay.StatusOf(ds)
		w.checkDeliveries(e, r, ds, status)
		if !e.accepted {
			continue // nobody was told, so that it may or may not be there
		}
		l.Accepted++
		switch status {
		case relay.EventDelivered:
			l.Delivered++
		case relay.EventFailed:
			l.Failed++
		case relay.EventSkipped:
			l.Skipped++
		case relay.EventUnmatched:
			l.Unmatched++
		case relay.EventRejected:
			l.Rejected++
		default:
			l.Pending++
			w.violatedf("%s is %s at rest", id, status)
		}
	}
	if sum := l.Delivered + l.Failed + l.Skipped + l.Unmatched + l.Rejected + l.Pending + l.Old; sum != l.Accepted {
		w.violatedf("%d accepted, %d accounted for", l.Accepted, sum)
	}
	w.checkPosts(&l)
	return l
}

// checkDeliveries holds an event's deliveries at rest to their attempts.
func (w *World) checkDeliveries(e *worldEvent, r relay.EventRecord, ds []relay.Delivery, status relay.EventStatus) {
	have := map[string]relay.Delivery{}
	for _, d := range ds {
		have[d.EndpointID] = d
	}
	if e.Confirm != "" {
		rejected := e.verdict == denied || e.verdict == unreachable && e.Confirm == relay.ConfirmRequire
		if (status == relay.EventRejected) != rejected && !w.jumped {
			w.violatedf("%s (%s, verdict %d) is %s", e.ID, e.Confirm, e.verdict, status)
		}
		if rejected || status == relay.EventRejected {
			return
		}
	}
	for _, endpoint := range r.Matched {
		d := have[endpoint]
		truth := w.delivery(deliveryKey{r.ID, endpoint})
		for run, attempts := range truth.attempts {
			w.checkRun(fmt.Sprintf("%s to %s run %d", r.ID, endpoint, run), attempts)
		}
		attempts := truth.attempts[d.Run]
		ended, ok := truth.ended[d.Run]
		switch {
		case d.EndpointID == "":
			w.violatedf("%s has no delivery to %s", r.ID, endpoint)
		case d.Run != truth.run:
			w.violatedf("%s to %s stands at run %d, and run %d was started", r.ID, endpoint, d.Run, truth.run)
		case !ok || d.Open():
			w.violatedf("%s to %s is %s at rest, and its last attempt %q", r.ID, endpoint, d.Status, ended)
		case string(d.Status) != ended || d.Attempts != len(attempts):
			w.violatedf("%s to %s is %s after %d attempts, and on record are %d, the last %s", r.ID, endpoint, d.Status, d.Attempts, len(attempts), ended)
		}
	}
}

// checkRun holds the attempts of a run to being one chain.
func (w *World) checkRun(what string, attempts []relay.Attempt) {
	slices.SortFunc(attempts, func(a, b relay.Attempt) int { return a.Number - b.Number })
	for i, a := range attempts {
		switch {
		case a.Number != i+1:
			w.violatedf("%s: attempt %d is number %d", what, i+1, a.Number)
		case i > 0 && !a.DueAt.Equal(attempts[i-1].NextAttemptAt):
			w.violatedf("%s: attempt %d was due at %v, and the one before announced %v", what, a.Number, a.DueAt, attempts[i-1].NextAttemptAt)
		case a.Final && i < len(attempts)-1:
			w.violatedf("%s: attempt %d of %d is final", what, a.Number, len(attempts))
		}
	}
}

// checkPosts holds each call that reached a destination to being on record, or
// to a reason why it is not.
func (w *World) checkPosts(l *Ledger) {
	for _, d := range w.deliv {
		for _, as := range d.attempts {
			l.Attempts += len(as)
		}
	}
	l.Posts = len(w.posts)
	for _, p := range w.posts {
		if p.recorded {
			continue
		}
		l.Repeats++
		if !p.repeated && !w.crashed[p.step] && !w.trouble[p.step] {
			w.violatedf("%s to %s number %d was posted (%s) and is not on record, though nothing had gone wrong", p.event, p.endpoint, p.number, p.request)
		}
	}
}

// Add returns the sum of two ledgers.
func (l Ledger) Add(m Ledger) Ledger {
	return Ledger{
		l.Accepted + m.Accepted, l.Delivered + m.Delivered, l.Failed + m.Failed, l.Skipped + m.Skipped,
		l.Unmatched + m.Unmatched, l.Rejected + m.Rejected, l.Pending + m.Pending, l.Old + m.Old,
		l.Posts + m.Posts, l.Attempts + m.Attempts, l.Repeats + m.Repeats,
	}
}

// String is the ledger in one line.
func (l Ledger) String() string {
	return fmt.Sprintf("accepted %d = delivered %d + failed %d + skipped %d + unmatched %d + rejected %d + pending %d + old %d; %d attempts on record, %d POSTs, %d of them not on record",
		l.Accepted, l.Delivered, l.Failed, l.Skipped, l.Unmatched, l.Rejected, l.Pending, l.Old, l.Attempts, l.Posts, l.Repeats)
}
