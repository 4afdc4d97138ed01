package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"hookferry/shared/body"
	"hookferry/shared/filter"
	"hookferry/shared/rawjson"
	"hookferry/shared/relay"
)

// wireExplanation says how an endpoint's filter fared.
type wireExplanation struct {
	Held     bool         `json:"held"`
	Clauses  []wireClause `json:"clauses"`
	Sentence string       `json:"sentence"`
}

type wireClause struct {
	Path  string `json:"path"`
	Rule  string `json:"rule"`
	Value string `json:"value"`
	Held  bool   `json:"held"`
}

// explain applies a stored filter to a body. What is no JSON object is let
// through by none.
func explain(pattern string, content []byte) (*wireExplanation, error) {
	p, err := filter.Parse([]byte(pattern))
	if err != nil {
		return nil, internal(fmt.Errorf("read a stored filter: %w", err))
	}
	e, ok := explained(p, content)
	if !ok {
		return &wireExplanation{Clauses: []wireClause{}, Sentence: "The body is not a JSON object, and no filter lets such a body through."}, nil
	}
	return &wireExplanation{Held: e.Matched, Sentence: e.Sentence, Clauses: each(e.Clauses, func(c filter.Clause) wireClause {
		return wireClause(c)
	})}, nil
}

func explained(p *filter.Pattern, content []byte) (filter.Explanation, bool) {
	e, err := p.Explain(content)
	return e, err == nil
}

// unmatched shows the endpoints that an event did not go to and why. A filter is
// applied anew, unless the endpoint was edited after the event or is gone, or it
// would take too long: match explains one.
func (s *server) unmatched(c *call, r relay.EventRecord) ([]wireUnmatched, error) {
	shown := []wireUnmatched{}
	var byFilter []int
	budget := explainBudget
	for _, u := range shownUnmatched(r) {
		if u.Reason == relay.MismatchFilter {
			byFilter = append(byFilter, len(shown))
		}
		shown = append(shown, wireUnmatched{EndpointID: u.EndpointID, Reason: u.Reason})
	}
	endpoints := make([]relay.Endpoint, len(byFilter))
	errs := make([]error, len(byFilter))
	slots := make(chan struct{}, 10)
	var wg sync.WaitGroup
	for i, at := range byFilter {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			var err error
			endpoints[i], err = s.Store.Endpoint(c.ctx(), c.account(), shown[at].EndpointID)
			if err != nil && !errors.Is(err, relay.ErrNotFound) {
				errs[i] = fmt.Errorf("read endpoint %s: %w", shown[at].EndpointID, err)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for i, at := range byFilter {
		var err error
		if shown[at].Detail, err = whyFiltered(r, endpoints[i], &budget); err != nil {
			return nil, err
		}
	}
	return shown, nil
}

// explainBudget bounds the work of explaining all filters of an event: the bytes
// of bodies that are read, once for each clause. It is some tens of milliseconds.
const explainBudget = 32 << 20

// whyFiltered explains how the filter of an endpoint kept an event out, as long as
// the budget lasts.
func whyFiltered(r relay.EventRecord, ep relay.Endpoint, budget *int) (*wireExplanation, error) {
	if ep.Deleted() || ep.Filter == "" || ep.UpdatedAt.After(r.CreatedAt) {
		return nil, nil
	}
	content, ok := bodyIfAny(r.Event, ep)
	if !ok {
		return nil, nil
	}
	// A clause is an array, and each has a bracket.
	if *budget -= len(content) * (1 + strings.Count(ep.Filter, "[")); *budget < 0 {
		return nil, nil
	}
	e, err := explain(ep.Filter, content)
	if err == nil && e.Held {
		return nil, nil // the event was judged by the filter of some seconds before
	}
	return e, err
}

// bodyFor returns what an endpoint would be sent of an event.
func bodyFor(ev relay.Event, ep relay.Endpoint) ([]byte, error) {
	raw, err := ev.Payload.Bytes()
	if err != nil {
		return nil, err
	}
	return body.In(ev, raw, ep.Format)
}

// bodyIfAny is bodyFor, and reports false where there is no such body, or none
// that can be read any more.
func bodyIfAny(ev relay.Event, ep relay.Endpoint) ([]byte, bool) {
	content, err := bodyFor(ev, ep)
	return content, err == nil
}

// wireMatch is what would become of an event at an endpoint.
type wireMatch struct {
	Object     string           `json:"object"`
	EndpointID string           `json:"endpoint_id"`
	EventID    *string          `json:"event_id"`
	Outcome    string           `json:"outcome"`
	Reason     *string          `json:"reason"`
	Sentence   string           `json:"sentence"`
	Filter     *wireExplanation `json:"filter"`
}

// judge says what would become of an event at an endpoint as it is now; content
// is what the endpoint would be sent, nil if it cannot be had.
func judge(ep relay.Endpoint, ev relay.Event, content []byte) (wireMatch, error) {
	w := wireMatch{Object: "webhook_match", EndpointID: ep.ID, Outcome: "deliver", Sentence: "The event would be delivered."}
	why := ep.Match(ev)
	if ep.Filter != "" && content != nil && why != relay.MismatchOnly {
		var err error
		if w.Filter, err = explain(ep.Filter, content); err != nil {
			return w, err
		}
		if !w.Filter.Held && (why == relay.Matches && ev.Only == "" || why == relay.MismatchDisabled) {
			why = relay.MismatchFilter
		}
	}
	switch why {
	case relay.Matches:
		return w, nil
	case relay.MismatchDisabled:
		w.Outcome, w.Sentence = "skip", "The event matches, but the endpoint is disabled."
	case relay.MismatchFilter:
		w.Outcome, w.Sentence = "unmatched", w.Filter.Sentence
	case relay.MismatchOnly:
		why = relay.MismatchType
		w.Outcome, w.Sentence = "unmatched", "The event is a test of another endpoint."
	default:
		w.Outcome, w.Sentence = "unmatched", whyUnmatched(why, ev.Type)
	}
	w.Reason = textOrNull(why)
	return w, nil
}

// matchEndpoint says what would become of an event, or of a body, at an endpoint,
// and sends nothing.
func (s *server) matchEndpoint(c *call) (answer, error) {
	o, err := c.object()
	if err != nil {
		return answer{}, err
	}
	eventID := field(o, "event_id", anEventID)
	given := field(o, "body", anObject)
	typ := field(o, "type", anExactType)
	source := field(o, "source_id", aSourceID)
	tried := field(o, "filter", aFilter)
	if err := o.done(); err != nil {
		return answer{}, err
	}
	if (eventID == nil) == (given == nil) {
		return answer{}, relay.Invalid("event_id", "Give either event_id or body.")
	}
	if eventID != nil && typ != nil {
		return answer{}, relay.Invalid("type", "type goes with body; an event has its own.")
	}
	ep, err := s.liveEndpoint(c)
	if err != nil {
		return answer{}, err
	}
	if tried != nil {
		ep.Filter = *tried
	}
	if given != nil {
		return matchBody(ep, *given, typ, source)
	}
	r, _, err := s.eventByID(c, *eventID, valueOf(source))
	if err != nil {
		return answer{}, err
	}
	w, err := judgeEvent(ep, r.Event)
	if err != nil {
		return answer{}, err
	}
	return ok(w)
}

func judgeEvent(ep relay.Endpoint, ev relay.Event) (wireMatch, error) {
	content, err := bodyFor(ev, ep)
	if err != nil && !errors.Is(err, body.ErrFormat) {
		return wireMatch{}, internal(err)
	}
	w, err := judge(ep, ev, content)
	w.EventID = &ev.ID
	return w, err
}

// matchBody judges a body that is as the endpoint would be sent it. Where neither
// the call nor the body names a type, any is taken to fit, and so is the source.
func matchBody(ep relay.Endpoint, content json.RawMessage, typ, source *string) (answer, error) {
	ev := relay.Event{Format: ep.Format, Type: valueOf(typ), SourceID: valueOf(source)}
	if typ == nil {
		if fields, err := rawjson.Fields(content, "type"); err == nil {
			if text, ok := rawjson.String(fields[0]); ok && relay.ValidEventType(text) {
				ev.Type = text
			}
		}
	}
	if ev.Type == "" {
		ep.EventTypes = []string{"*"}
	}
	if source == nil {
		ep.SourceIDs = nil
	}
	w, err := judge(ep, ev, content)
	if err != nil {
		return answer{}, err
	}
	return ok(w)
}

func valueOf(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

func anEventID(param string, raw json.RawMessage) (string, error) {
	id, err := aString(param, raw)
	if err == nil && !relay.ValidEventID(id) {
		err = relay.Invalid(param, "%s must be an event's id.", param)
	}
	return id, err
}

func aSourceID(param string, raw json.RawMessage) (string, error) {
	id, err := aString(param, raw)
	if err == nil && !validID(relay.SourcePrefix, id) {
		err = relay.Invalid(param, "%s must be a source's id.", param)
	}
	return id, err
}

func anExactType(param string, raw json.RawMessage) (string, error) {
	typ, err := aString(param, raw)
	if err == nil && !relay.ValidEventType(typ) {
		err = relay.Invalid(param, "%s must be lower-case words joined by dots, like order.paid, at most 128 characters.", param)
	}
	return typ, err
}

// deliverEvent matches an event again with the endpoint as it is now and starts a
// run of it.
func (s *server) deliverEvent(c *call) (answer, error) {
	o, err := c.object()
	if err != nil {
		return answer{}, err
	}
	eventID := need(o, "event_id", anEventID)
	source := field(o, "source_id", aSourceID)
	if err := o.done(); err != nil {
		return answer{}, err
	}
	ep, err := s.liveEndpoint(c)
	if err != nil {
		return answer{}, err
	}
	r, _, err := s.eventByID(c, eventID, valueOf(source))
	if err != nil {
		return answer{}, err
	}
	if err := s.deliverable(c, ep, r); err != nil {
		return answer{}, err
	}
	mk, err := s.making(c, o, c.route(), c.id)
	if err != nil {
		return answer{}, err
	}
	run, err := s.startRun(c, r.Ref().ID, ep.ID, mk)
	if err != nil {
		return answer{}, err
	}
	w, err := s.sendRun(c, r.Ref(), r.Type, ep.ID, run)
	if err != nil {
		return answer{}, err
	}
	s.audit(c, "event.deliver", ep.ID, "event_id")
	return answer{status: http.StatusAccepted, body: w}, nil
}

// deliverable returns why an event must not go to an endpoint.
func (s *server) deliverable(c *call, ep relay.Endpoint, r relay.EventRecord) error {
	refuse := func(why string) error {
		return &relay.Error{Kind: relay.KindEventNotMatched, Detail: why}
	}
	w, err := judgeEvent(ep, r.Event)
	if err != nil {
		return err
	}
	if w.Outcome != "deliver" {
		return refuse(w.Sentence)
	}
	if r.Confirm == "" || r.Confirm == relay.ConfirmOff {
		return nil
	}
	kept, listed, err := s.Store.Deliveries(c.ctx(), r)
	if err != nil {
		return fmt.Errorf("read deliveries of %s: %w", r.ID, err)
	}
	for _, d := range kept {
		switch {
		case d.EndpointID != relay.Confirmation:
		case d.Status == relay.DeliveryRejected:
			return refuse("The event was rejected: it is not delivered.")
		case d.Open():
			return refuse("Sivi has not confirmed the event yet.")
		default:
			return nil
		}
	}
	if !listed {
		return refuse("Sivi has not confirmed the event yet.")
	}
	return nil
}
