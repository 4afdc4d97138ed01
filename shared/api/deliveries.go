package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"hookferry/events"
	"hookferry/shared/relay"
)

func (s *server) listAttempts(c *call) (answer, error) {
	q := c.filters()
	f := relay.AttemptFilter{
		Status: word(q, "status", relay.AttemptSucceeded, relay.AttemptFailed, relay.AttemptSkipped),
		Final:  q.flag("final"),
		Types:  q.types(),
	}
	f.Since, f.Until = q.period()
	eventID := q.text("event_id", "an event's id", relay.ValidEventID)
	if q.err != nil {
		return answer{}, q.err
	}
	ep, err := s.endpoint(c)
	if err != nil {
		return answer{}, err
	}
	binding := q.binding("deliveries/" + ep.ID)
	p, err := s.page(c, binding)
	if err != nil {
		return answer{}, err
	}
	if eventID != "" {
		if ans, found, err := s.listEventAttempts(c, ep.ID, eventID, f, p, binding); found || err != nil {
			return ans, err
		}
		f.EventID = eventID // an event that has just expired, or never was
	}
	attempts, next, err := s.Store.Attempts(c.ctx(), ep.ID, f, p)
	if err != nil {
		return answer{}, fmt.Errorf("list attempts of %s: %w", ep.ID, err)
	}
	return s.listed(binding, each(attempts, attemptWire), next)
}

// listEventAttempts lists the attempts of one event, which are found without a
// walk over all that the endpoint has had. It reports false if there is no such
// event.
func (s *server) listEventAttempts(c *call, endpoint, id string, f relay.AttemptFilter, p relay.Page, binding string) (answer, bool, error) {
	all, err := s.Store.EventsByID(c.ctx(), c.account(), id)
	if err != nil {
		return answer{}, false, fmt.Errorf("read event %s: %w", id, err)
	}
	var attempts []relay.Attempt
	for _, r := range all { // of one id, one for each source
		of, err := s.Store.EventAttempts(c.ctx(), r.Ref(), []string{endpoint}, relay.MaxExamined)
		if err != nil && !errors.Is(err, relay.ErrNotFound) {
			return answer{}, false, fmt.Errorf("read attempts of %s: %w", id, err)
		}
		attempts = append(attempts, of...)
	}
	attempts = slices.DeleteFunc(relay.NewestAttempts(attempts, len(attempts)), func(a relay.Attempt) bool {
		return p.After != "" && a.ID >= p.After || f.Status != "" && a.Status != f.Status || f.Final != nil && a.Final != *f.Final ||
			!relay.TypeFits(f.Types, a.EventType) || a.DueAt.Before(f.Since) || !f.Until.IsZero() && !a.DueAt.Before(f.Until)
	})
	next := ""
	if len(attempts) > p.Limit {
		attempts = attempts[:p.Limit]
		next = attempts[p.Limit-1].ID
	}
	ans, err := s.listed(binding, each(attempts, attemptWire), next)
	return ans, len(all) > 0, err
}

// testEndpoint sends a webhook.test to the endpoint alone, also while it is
// disabled.
func (s *server) testEndpoint(c *call) (answer, error) {
	o, err := c.noFields()
	if err != nil {
		return answer{}, err
	}
	ep, err := s.liveEndpoint(c)
	if err != nil {
		return answer{}, err
	}
	if err := s.room(c); err != nil {
		return answer{}, err
	}
	m, err := s.making(c, o, c.route(), relay.NewID(relay.EventPrefix, c.now))
	if err != nil {
		return answer{}, err
	}
	ev := relay.Event{
		ID: m.id, Account: ep.Account, Type: relay.TypeTest, Format: ep.Format,
		VerifiedBy: relay.VerifiedByKey, Test: true, CreatedAt: m.at, RequestID: c.id, Only: ep.ID,
	}
	if ev.Format == relay.FormatVerbatim {
		ev.Format = relay.FormatRivya // a test has no bytes that came in
	}
	ev.Payload = s.Payload(events.TestBody(ev.Format, ev.ID, ev.CreatedAt))
	ans, err := s.accept(c, ev)
	if err == nil {
		s.audit(c, "endpoint.test", ep.ID)
	}
	return ans, err
}

// noFields reads a body that has nothing to say.
func (c *call) noFields() (*object, error) {
	o, err := c.object()
	if err != nil {
		return nil, err
	}
	return o, o.done()
}

// wireRun is a run of a delivery that has been started.
type wireRun struct {
	Object        string               `json:"object"`
	EventID       string               `json:"event_id"`
	EventType     string               `json:"event_type"`
	EndpointID    string               `json:"endpoint_id"`
	Run           int                  `json:"run"`
	Status        relay.DeliveryStatus `json:"status"`
	Attempts      int                  `json:"attempts"`
	NextAttemptID string               `json:"next_attempt_id"`
	NextAttemptAt moment               `json:"next_attempt_at"`
}

// retryDelivery starts a new run of the delivery that the attempt belongs to. A
// run that is still going on ends: its messages are of an older run.
func (s *server) retryDelivery(c *call) (answer, error) {
	o, err := c.noFields()
	if err != nil {
		return answer{}, err
	}
	ep, err := s.liveEndpoint(c)
	if err != nil {
		return answer{}, err
	}
	id := c.r.PathValue("attempt_id")
	if !relay.ValidAttemptID(id) {
		return answer{}, notFound("delivery attempt")
	}
	a, err := s.Store.Attempt(c.ctx(), c.account(), ep.ID, id)
	if err != nil {
		return answer{}, found(fmt.Errorf("read attempt %s: %w", id, err), "delivery attempt")
	}
	mk, err := s.making(c, o, c.route(), c.id)
	if err != nil {
		return answer{}, err
	}
	run, err := s.startRun(c, a.EventID, ep.ID, mk)
	if err != nil {
		return answer{}, err
	}
	w, err := s.sendRun(c, relay.EventRef{Account: a.Account, ID: a.EventID, CreatedAt: a.EventCreatedAt}, a.EventType, ep.ID, run)
	if err != nil {
		return answer{}, err
	}
	s.audit(c, "delivery.retry", id)
	return answer{status: http.StatusAccepted, body: w}, nil
}

// sendRun sends the first attempt of a run that has been started. If the send
// fails, or we die before it, the run is on record as due, and the repair walk
// finds it.
func (s *server) sendRun(c *call, ref relay.EventRef, typ, endpoint string, run relay.Run) (wireRun, error) {
	m := relay.NewAttemptMessage(ref, endpoint, run.Number, 1, run.StartedAt, run.StartedAt.Add(relay.GiveUpAfter))
	if err := s.Retries.Send(c.ctx(), m.Outgoing(c.now)); err != nil {
		return wireRun{}, fmt.Errorf("queue run %d of %s to %s: %w", run.Number, ref.ID, endpoint, err)
	}
	shown, _ := relay.CutEventKey(ref.ID)
	return wireRun{
		Object: "webhook_delivery_run", EventID: shown,
		EventType: typ, EndpointID: endpoint, Run: run.Number, Status: relay.DeliveryPending,
		NextAttemptID: m.AttemptID(), NextAttemptAt: moment(run.StartedAt),
	}, nil
}

// startRun begins a run of the event to the endpoint, now. A repeat of the call
// gets the run that the first began or, if another was begun since, that one:
// the event has been sent again after the first call, and is not sent once more.
func (s *server) startRun(c *call, event, endpoint string, m making) (relay.Run, error) {
	if m.again {
		r, err := s.Store.Event(c.ctx(), c.account(), event, true)
		if err != nil {
			return relay.Run{}, found(fmt.Errorf("read event %s: %w", event, err), "event")
		}
		if run, ok := r.Runs[endpoint]; ok && run.Token != m.id && !run.StartedAt.Before(m.at) {
			return run, nil
		}
	}
	run, err := s.Store.StartRun(c.ctx(), c.account(), event, endpoint, m.id, m.at)
	if err != nil {
		return run, found(fmt.Errorf("start run of %s to %s: %w", event, endpoint, err), "event")
	}
	return run, nil
}
