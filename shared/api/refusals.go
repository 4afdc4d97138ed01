package api

import (
	"fmt"

	"hookferry/shared/relay"
)

type wireRefusal struct {
	Object   string `json:"object"`
	SourceID string `json:"source_id"`
	Reason   string `json:"reason"`
	Hour     moment `json:"hour"`
	Count    int    `json:"count"`
	LastAt   moment `json:"last_at"`
}

// listRefusals lists the calls of a source that were refused, by reason and hour.
func (s *server) listRefusals(c *call) (answer, error) {
	src, err := s.source(c)
	if err != nil {
		return answer{}, err
	}
	binding := c.filters().binding("refusals/" + src.ID)
	p, err := s.page(c, binding)
	if err != nil {
		return answer{}, err
	}
	refusals, next, err := s.Store.Refusals(c.ctx(), src.ID, p)
	if err != nil {
		return answer{}, fmt.Errorf("list refusals of %s: %w", src.ID, err)
	}
	return s.listed(binding, each(refusals, func(r relay.Refusal) wireRefusal {
		return wireRefusal{
			Object: "refusal", SourceID: r.SourceID, Reason: r.Reason, Hour: moment(r.Hour), Count: r.Count, LastAt: moment(r.LastAt),
		}
	}), next)
}
