package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"hookferry/events"
	"hookferry/shared/rawjson"
	"hookferry/shared/relay"
	"hookferry/shared/signature"
	"hookferry/shared/telemetry"
)

func (s *server) listEvents(c *call) (answer, error) {
	q := c.filters()
	f := relay.EventFilter{
		Types: q.types(),
		Statuses: words(q, "status", relay.EventPending, relay.EventDelivered, relay.EventFailed,
			relay.EventSkipped, relay.EventUnmatched, relay.EventRejected),
		SourceID:   q.text("source_id", "a source's id", func(v string) bool { return validID(relay.SourcePrefix, v) }),
		EndpointID: q.text("endpoint_id", "an endpoint's id", func(v string) bool { return validID(relay.EndpointPrefix, v) }),
		Subject:    q.text("subject", subjectForm, relay.ValidSubject),
	}
	f.Since, f.Until = q.period()
	if q.err != nil {
		return answer{}, q.err
	}
	binding := q.binding("webhook-events")
	p, err := s.page(c, binding)
	if err != nil {
		return answer{}, err
	}
	evs, next, err := s.Store.Events(c.ctx(), c.account(), f, p)
	if err != nil {
		return answer{}, fmt.Errorf("list events: %w", err)
	}
	if err := s.markConfirmed(c, evs); err != nil {
		return answer{}, err
	}
	return s.listed(binding, each(evs, eventWire), next)
}

// markConfirmed sets what verified each event of a page of a list. A row of the
// list is put before Sivi has answered, so the confirmation is looked up, for
// the events of sources that ask for one alone.
func (s *server) markConfirmed(c *call, evs []relay.EventSummary) error {
	errs := make([]error, len(evs))
	slots := make(chan struct{}, 10)
	var wg sync.WaitGroup
	for i, e := range evs {
		if !asksSivi(e.Event) || e.Status == relay.EventRejected {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			r := relay.EventRecord{Event: e.Event}
			kept, listed, err := s.Store.Deliveries(c.ctx(), r)
			if err != nil {
				errs[i] = fmt.Errorf("read confirmation of %s: %w", e.ID, err)
				return
			}
			evs[i].VerifiedBy = verifiedBy(e.Event, kept, listed)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func asksSivi(ev relay.Event) bool {
	return ev.VerifiedBy == relay.VerifiedByToken && (ev.Confirm == relay.ConfirmPrefer || ev.Confirm == relay.ConfirmRequire)
}

// verifiedBy tells how we know that an event is true from what a store keeps of
// its deliveries: of one that Sivi was asked about and that went well at the
// first try, nothing.
func verifiedBy(ev relay.Event, kept []relay.Delivery, listed bool) relay.Verification {
	if !asksSivi(ev) {
		return ev.VerifiedBy
	}
	i := slices.IndexFunc(kept, func(d relay.Delivery) bool { return d.EndpointID == relay.Confirmation })
	if i < 0 && listed || i >= 0 && kept[i].Status == relay.DeliverySucceeded {
		return relay.VerifiedByTokenFetch
	}
	return ev.VerifiedBy
}

func (s *server) readEvent(c *call) (answer, error) {
	id := c.r.PathValue("id")
	if !relay.ValidEventID(id) {
		return answer{}, notFound("event")
	}
	source, err := c.sourceParameter()
	if err != nil {
		return answer{}, err
	}
	r, others, err := s.eventByID(c, id, source)
	if err != nil {
		return answer{}, err
	}
	kept, listed, err := s.Store.Deliveries(c.ctx(), r)
	if err != nil {
		return answer{}, fmt.Errorf("read deliveries: %w", err)
	}
	payload, err := shownPayload(r.Payload)
	if err != nil {
		return answer{}, internal(err)
	}
	ds := allDeliveries(r, kept, listed)
	endpoints := slices.Clone(r.Matched)
	for _, id := range runEndpoints(r) {
		if !slices.Contains(endpoints, id) {
			endpoints = append(endpoints, id)
		}
	}
	attempts, err := s.Store.EventAttempts(c.ctx(), r.Ref(), endpoints, maxEventAttempts)
	if err != nil {
		return answer{}, found(fmt.Errorf("read attempts of %s: %w", r.ID, err), "event")
	}
	r.VerifiedBy = verifiedBy(r.Event, kept, listed)
	w := wireEventDetail{
		wireEvent: eventWire(relay.EventSummary{Event: r.Event, Status: relay.StatusOf(ds)}),
		Payload:   payload, Deliveries: []wireDelivery{}, Unmatched: []wireUnmatched{},
		OtherSources: others, WebhookID: signature.WebhookID(r.Ref().ID),
		Attempts: each(attempts, func(a relay.Attempt) wireEventAttempt { return eventAttemptWire(a, r.Event) }),
		Timeline: timelineOf(r, ds, attempts),
	}
	if w.Status == relay.EventRejected {
		w.RejectedBecause = new(cmp.Or(r.Answer.Said, "Sivi did not confirm it."))
	}
	for _, d := range ds {
		if d.EndpointID != relay.Confirmation {
			w.Deliveries = append(w.Deliveries, deliveryWire(d))
		}
	}
	if w.Unmatched, err = s.unmatched(c, r); err != nil {
		return answer{}, err
	}
	return ok(w)
}

// eventByID returns the newest event of an ID, or that of the source if one is
// named, and the other sources that sent one of that ID.
func (s *server) eventByID(c *call, id, source string) (r relay.EventRecord, others []string, err error) {
	all, err := s.Store.EventsByID(c.ctx(), c.account(), id)
	if err != nil {
		return r, nil, fmt.Errorf("read event: %w", err)
	}
	i := slices.IndexFunc(all, func(e relay.EventRecord) bool { return source == "" || e.SourceID == source })
	if i < 0 {
		return r, nil, notFound("event")
	}
	r, others = all[i], []string{}
	for j, e := range all {
		if j != i && e.SourceID != "" && e.SourceID != r.SourceID {
			others = append(others, e.SourceID)
		}
	}
	return r, others, nil
}

// sourceParameter returns the value of ?source_id=, or "" if there is none.
func (c *call) sourceParameter() (string, error) {
	q := c.filters()
	source := q.text("source_id", "a source's id", func(v string) bool { return validID(relay.SourcePrefix, v) })
	return source, q.err
}

// allDeliveries completes what a store keeps of an event's deliveries: of an
// event that is not listed yet, the others are to come.
func allDeliveries(r relay.EventRecord, kept []relay.Delivery, listed bool) []relay.Delivery {
	ds := slices.Clone(kept)
	for _, id := range r.Matched {
		if !listed && !slices.ContainsFunc(kept, func(d relay.Delivery) bool { return d.EndpointID == id }) {
			ds = append(ds, relay.Delivery{EndpointID: id, Run: r.Latest(id), Status: relay.DeliveryPending})
		}
	}
	slices.SortStableFunc(ds, func(a, b relay.Delivery) int {
		return slices.Index(r.Matched, a.EndpointID) - slices.Index(r.Matched, b.EndpointID)
	})
	return ds
}

// shownPayload returns a payload as JSON, or as a string if it is none.
func shownPayload(p relay.Payload) (any, error) {
	body, err := p.Bytes()
	if err != nil {
		return nil, err
	}
	if !json.Valid(body) {
		return string(body), nil
	}
	return json.RawMessage(body), nil
}

func (s *server) publishEvent(c *call) (answer, error) {
	o, err := c.object()
	if err != nil {
		return answer{}, err
	}
	typ := need(o, "type", publishable)
	data := need(o, "data", anObject)
	subject := field(o, "subject", aSubject)
	if err := o.done(); err != nil {
		return answer{}, err
	}
	ev := relay.Event{
		ID: relay.NewID(relay.EventPrefix, c.now), Account: c.account(), Type: typ, Format: relay.FormatRivya,
		VerifiedBy: relay.VerifiedByKey, CreatedAt: c.now, RequestID: c.id,
		Passes:      relay.ParsePasses(c.r.Header.Values(relay.PassesHeader)),
		TraceParent: relay.ParseTraceParent(c.r.Header.Values("Traceparent")),
	}
	if subject != nil {
		ev.Subject = *subject
	}
	// Every identifier and time has the same length, so the body is judged before
	// the key stands for it.
	if body := events.Body(ev.ID, ev.Type, ev.CreatedAt, data); len(body) > relay.MaxPayload {
		return answer{}, tooLarge()
	}
	if err := s.room(c); err != nil {
		return answer{}, err
	}
	m, err := s.making(c, o, publishRoute, ev.ID)
	if err != nil {
		return answer{}, err
	}
	// A repeat sends the same event again, for the first may have been lost, and
	// the dispatcher drops what it has.
	ev.ID, ev.CreatedAt = m.id, m.at
	ev.Payload = s.Payload(events.Body(ev.ID, ev.Type, ev.CreatedAt, data))
	return s.accept(c, ev)
}

// room fails if the account keeps as many events as it may. A repeat under an
// Idempotency-Key is refused as well: else a key would be a way round.
func (s *server) room(c *call) error {
	if s.Usage == nil {
		return nil
	}
	u, err := s.Usage.Usage(c.ctx(), c.account())
	if err != nil {
		return fmt.Errorf("read usage: %w", err)
	}
	if !u.Within(s.Limit) {
		return &relay.Error{
			Kind:   relay.KindLimitExceeded,
			Detail: fmt.Sprintf("The account has %d events of %d bytes on record, which is its limit. They age out after the retention time.", u.Events, u.Bytes),
		}
	}
	return nil
}

// accept puts the event on the queue, which is its acceptance, and answers it.
func (s *server) accept(c *call, ev relay.Event) (answer, error) {
	if err := s.Events.Send(c.ctx(), relay.NewEventMessage(ev).Outgoing(c.now)); err != nil {
		return answer{}, fmt.Errorf("queue event: %w", err)
	}
	c.line.Count(telemetry.Accepted, 1)
	return answer{
		status: http.StatusAccepted,
		body:   eventWire(relay.EventSummary{Event: ev, Status: relay.EventPending}),
	}, nil
}

const subjectForm = "1 to 256 characters, none of which is a control character"

// aSubject reads what a published event is about; null for nothing.
func aSubject(param string, raw json.RawMessage) (string, error) {
	if rawjson.IsNull(raw) {
		return "", nil
	}
	text, err := aString(param, raw)
	if err == nil && !relay.ValidSubject(text) {
		err = relay.Invalid(param, "%s must be %s.", param, subjectForm)
	}
	return text, err
}

// publishable reads the type of an event that a client publishes.
func publishable(param string, raw json.RawMessage) (string, error) {
	typ, err := aString(param, raw)
	if err != nil {
		return "", err
	}
	if relay.ReservedType(typ) {
		return "", relay.Invalid(param, "Types that begin with webhook. or endpoint. cannot be published.")
	}
	return typ, checkType(param, typ)
}

func anObject(param string, raw json.RawMessage) (json.RawMessage, error) {
	if raw[0] != '{' {
		return nil, relay.Invalid(param, "%s must be an object.", param)
	}
	return raw, nil
}

type wireEventType struct {
	Object      string          `json:"object"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Schema      json.RawMessage `json:"schema"`
	Sample      json.RawMessage `json:"sample"`
}

func (s *server) listEventTypes(*call) (answer, error) {
	return ok(list{Object: "list", Data: each(events.Catalogue(), func(t events.Type) wireEventType {
		return wireEventType{Object: "event_type", Name: t.Name, Description: t.Description, Schema: t.Schema, Sample: t.Sample}
	})})
}
