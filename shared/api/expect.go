package api

import (
	"errors"
	"fmt"
	"net/http"

	"hookferry/shared/relay"
)

// maxRequestIDs is how many requests one call may name.
const maxRequestIDs = 100

// requestIDs reads the body of expect and unexpect.
func (c *call) requestIDs() ([]string, error) {
	o, err := c.object()
	if err != nil {
		return nil, err
	}
	ids := need(o, "request_ids", listOf(1, maxRequestIDs, ascii(1, 128, 0x21)))
	return ids, o.done()
}

// siviSource returns the source of the path, which must be Sivi's.
func (s *server) siviSource(c *call) (relay.Source, error) {
	src, err := s.source(c)
	if err == nil && src.Provider != relay.Sivi {
		err = relay.Invalid("", "Only sources of sivi can expect requests; %s calls again by itself.", src.Provider)
	}
	return src, err
}

// expect registers requests whose terminal event must come. Repeating it is
// harmless, and sends again what a call before may have left unsent.
func (s *server) expect(c *call) (answer, error) {
	ids, err := c.requestIDs()
	if err != nil {
		return answer{}, err
	}
	src, err := s.siviSource(c)
	if err != nil {
		return answer{}, err
	}
	if src.APIKey == "" {
		return answer{}, relay.Invalid("sivi_api_key", "The source has no sivi_api_key, so Sivi cannot be asked. Set it first.")
	}
	var made []string
	var send []relay.Outgoing
	var asked []relay.Expectation
	xs := make([]relay.Expectation, len(ids))
	for i, id := range ids {
		xs[i] = relay.Expectation{
			Account: src.Account, SourceID: src.ID, RequestID: id, CreatedAt: c.now,
			NextAt: c.now.Add(s.ExpectFirst), GiveUpAt: c.now.Add(s.ExpectGiveUp),
		}
		existing, err := s.Store.PutExpectation(c.ctx(), xs[i], relay.MaxExpectations)
		if errors.Is(err, relay.ErrLimit) {
			return answer{}, s.takeBack(c, src.ID, made)
		}
		if err != nil {
			return answer{}, fmt.Errorf("expect %s: %w", id, err)
		}
		if existing == nil {
			made = append(made, id)
		} else {
			xs[i] = *existing
		}
		if x := xs[i]; x.EventID == "" && !x.GaveUp && x.Asked == 0 && !x.Queued {
			asked = append(asked, x)
			send = append(send, relay.NewExpectMessage(x, 1).Outgoing(c.now))
		}
	}
	if len(send) > 0 {
		if err := s.Retries.Send(c.ctx(), send...); err != nil {
			return answer{}, fmt.Errorf("queue expectations: %w", err)
		}
	}
	for _, x := range asked {
		x.Queued = true
		if err := s.Store.UpdateExpectation(c.ctx(), x, 0); err != nil && !errors.Is(err, relay.ErrConflict) && !errors.Is(err, relay.ErrNotFound) {
			// A repeat sends its message once more; the dispatcher drops the copy.
			return answer{}, fmt.Errorf("note that %s is queued: %w", x.RequestID, err)
		}
	}
	s.audit(c, "source.expect", src.ID, "request_ids")
	return answer{status: http.StatusAccepted, body: list{Object: "list", Data: each(xs, expectationWire)}}, nil
}

// takeBack removes what a call has registered before it met the limit, so that
// it registered all or none.
func (s *server) takeBack(c *call, source string, made []string) error {
	for _, id := range made {
		if err := s.Store.DeleteExpectation(c.ctx(), source, id); err != nil {
			return fmt.Errorf("take back expectation %s: %w", id, err)
		}
	}
	return &relay.Error{
		Kind:   relay.KindLimitExceeded,
		Detail: fmt.Sprintf("The source waits for %d requests, which is its limit. None of these was registered.", relay.MaxExpectations),
	}
}

func (s *server) listExpected(c *call) (answer, error) {
	src, err := s.siviSource(c)
	if err != nil {
		return answer{}, err
	}
	binding := c.filters().binding("expect/" + src.ID)
	p, err := s.page(c, binding)
	if err != nil {
		return answer{}, err
	}
	xs, next, err := s.Store.Expectations(c.ctx(), src.ID, p)
	if err != nil {
		return answer{}, fmt.Errorf("list expectations of %s: %w", src.ID, err)
	}
	return s.listed(binding, each(xs, expectationWire), next)
}

type wireUnexpected struct {
	Object    string `json:"object"`
	RequestID string `json:"request_id"`
	Deleted   bool   `json:"deleted"`
}

// unexpect ends the wait for requests; one that nobody waits for is no error.
func (s *server) unexpect(c *call) (answer, error) {
	ids, err := c.requestIDs()
	if err != nil {
		return answer{}, err
	}
	src, err := s.siviSource(c)
	if err != nil {
		return answer{}, err
	}
	for _, id := range ids {
		if err := s.Store.DeleteExpectation(c.ctx(), src.ID, id); err != nil {
			return answer{}, fmt.Errorf("delete expectation %s: %w", id, err)
		}
	}
	s.audit(c, "source.unexpect", src.ID, "request_ids")
	return ok(list{Object: "list", Data: each(ids, func(id string) wireUnexpected {
		return wireUnexpected{"expectation", id, true}
	})})
}
