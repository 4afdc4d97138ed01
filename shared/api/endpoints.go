package api

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"

	"hookferry/shared/relay"
	"hookferry/shared/seal"
)

// casTries is how often a change is applied anew to what another call has
// written meanwhile.
const casTries = 6

// settle waits before a change is applied anew, for a random time that grows with
// each try, so that calls that met do not go on meeting.
func (s *server) settle(c *call, try int) error {
	return sleep(c, rand.N(s.retryWait/4<<try))
}

// validID reports whether id can be one of ours. Others are not looked up.
func validID(prefix, id string) bool {
	rest, ok := strings.CutPrefix(id, prefix)
	return ok && len(rest) >= 20 && len(rest) <= 64 && !strings.ContainsFunc(rest, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '-'
	})
}

// endpoint returns the endpoint of the path, consistently, deleted ones too.
func (s *server) endpoint(c *call) (relay.Endpoint, error) {
	id := c.r.PathValue("id")
	if !validID(relay.EndpointPrefix, id) {
		return relay.Endpoint{}, notFound("endpoint")
	}
	ep, err := s.Store.Endpoint(c.ctx(), c.account(), id)
	if err != nil {
		return relay.Endpoint{}, found(fmt.Errorf("read endpoint %s: %w", id, err), "endpoint")
	}
	return ep, nil
}

// liveEndpoint is endpoint, but for a deleted one.
func (s *server) liveEndpoint(c *call) (relay.Endpoint, error) {
	ep, err := s.endpoint(c)
	if err == nil && ep.Deleted() {
		err = revoked()
	}
	return ep, err
}

func revoked() *relay.Error {
	return &relay.Error{Kind: relay.KindEndpointRevoked, Detail: "This endpoint has been deleted. Create a new one."}
}

// changeEndpoint applies change to the endpoint as it is now until no other
// write comes between, and returns it as written. change returns the names of
// the fields it changed; none means that there is nothing to write. It may run
// several times.
func (s *server) changeEndpoint(c *call, id string, change func(*relay.Endpoint) ([]string, error)) (relay.Endpoint, []string, error) {
	for try := range casTries {
		ep, err := s.Store.Endpoint(c.ctx(), c.account(), id)
		if err != nil {
			return ep, nil, found(fmt.Errorf("read endpoint %s: %w", id, err), "endpoint")
		}
		fields, err := change(&ep)
		if err != nil || len(fields) == 0 {
			return ep, nil, err
		}
		ep.UpdatedAt = c.now
		if err = s.Store.UpdateEndpoint(c.ctx(), ep); err == nil {
			return ep, fields, nil
		}
		if !errors.Is(err, relay.ErrConflict) {
			return ep, nil, found(fmt.Errorf("write endpoint %s: %w", id, err), "endpoint")
		}
		if err := s.settle(c, try); err != nil {
			return ep, nil, err
		}
	}
	return relay.Endpoint{}, nil, fmt.Errorf("write endpoint %s: %w, %d times", id, relay.ErrConflict, casTries)
}

// countersOf reads an endpoint's counters. A call that changes the endpoint reads
// them first: whatever can fail must not fail once the change is made, or the
// client repeats what has been done.
func (s *server) countersOf(c *call, id string) (relay.Counters, error) {
	counters, err := s.Store.Counters(c.ctx(), id)
	if err != nil {
		return relay.Counters{}, fmt.Errorf("read counters of %s: %w", id, err)
	}
	return counters[id], nil
}

// wireEndpointDryRun says that an endpoint would be made of a body.
type wireEndpointDryRun struct {
	Object string `json:"object"`
	Valid  bool   `json:"valid"`
}

// createEndpoint makes an endpoint. A dry run judges the body alone: so a form can
// tell what is wrong with a URL while it is typed.
func (s *server) createEndpoint(c *call) (answer, error) {
	q := c.filters()
	dry := q.flag("dry_run")
	if q.err != nil {
		return answer{}, q.err
	}
	o, err := c.object()
	if err != nil {
		return answer{}, err
	}
	f := endpointFields{
		Name:       new(need(o, "name", aLine)),
		URL:        new(need(o, "url", aString)),
		EventTypes: new(need(o, "event_types", listOf(1, maxEventTypes, anEventType))),
	}
	f.take(o)
	if err := o.done(); err != nil {
		return answer{}, err
	}
	if err := s.checkEndpointFields(c, f); err != nil {
		return answer{}, err
	}
	if dry != nil && *dry {
		return ok(wireEndpointDryRun{Object: "webhook_endpoint_dry_run", Valid: true})
	}
	m, err := s.making(c, o, c.route(), relay.NewID(relay.EndpointPrefix, c.now))
	if err != nil {
		return answer{}, err
	}
	ep := relay.Endpoint{
		ID: m.id, Account: c.account(),
		Format: relay.FormatRivya, Signatures: []relay.Scheme{relay.SchemeRivya},
		Status: relay.Active, CreatedAt: m.at, UpdatedAt: m.at,
	}
	fields := f.apply(&ep, m.at)
	s.newSecret(&ep)
	ep, made, err := finish(m,
		func() (relay.Endpoint, error) { return s.Store.Endpoint(c.ctx(), c.account(), m.id) },
		func() (relay.Endpoint, error) { return ep, s.putEndpoint(c, ep) })
	if err != nil {
		return answer{}, err
	}
	counters := relay.Counters{}
	if made {
		s.audit(c, "endpoint.create", ep.ID, fields...)
	} else if counters, err = s.countersOf(c, ep.ID); err != nil {
		return answer{}, err
	}
	w := s.endpointWire(ep, counters)
	if m.mine && ep.Rotations == 0 {
		// Once more, for a client whose answer was lost; never to another key, and
		// never a secret that came after.
		secret, err := s.Keys.Open(ep.Secret, seal.Place{Account: ep.Account, Object: ep.ID, Field: seal.SigningSecret})
		if err != nil {
			return answer{}, err
		}
		w.SigningSecret = secret.Reveal()
	}
	return answer{status: http.StatusCreated, body: w}, nil
}

// newSecret gives the endpoint a fresh signing secret and returns it.
func (s *server) newSecret(ep *relay.Endpoint) relay.Secret {
	secret := relay.NewSigningSecret()
	ep.Secret = s.Keys.Seal(secret, seal.Place{Account: ep.Account, Object: ep.ID, Field: seal.SigningSecret})
	ep.SecretPreview = secret.Preview()
	return secret
}

func (s *server) putEndpoint(c *call, ep relay.Endpoint) error {
	err := s.Store.CreateEndpoint(c.ctx(), ep, s.EndpointLimit)
	if errors.Is(err, relay.ErrLimit) {
		return &relay.Error{
			Kind:   relay.KindLimitExceeded,
			Detail: fmt.Sprintf("The account has %d endpoints, which is its limit. Delete one first.", s.EndpointLimit),
		}
	}
	if err != nil {
		return fmt.Errorf("create endpoint: %w", err)
	}
	return nil
}

// deletedStatus selects deleted endpoints, whose own status is disabled.
const deletedStatus = "deleted"

func (s *server) listEndpoints(c *call) (answer, error) {
	q := c.filters()
	statuses := words(q, "status", string(relay.Active), string(relay.Disabled), deletedStatus)
	if q.err != nil {
		return answer{}, q.err
	}
	binding := q.binding("webhooks")
	p, err := s.page(c, binding)
	if err != nil {
		return answer{}, err
	}
	eps, next, err := s.Store.Endpoints(c.ctx(), c.account(), p)
	if err != nil {
		return answer{}, fmt.Errorf("list endpoints: %w", err)
	}
	eps = slices.DeleteFunc(eps, func(ep relay.Endpoint) bool {
		status := string(ep.Status)
		if ep.Deleted() {
			status = deletedStatus
		}
		return len(statuses) > 0 && !slices.Contains(statuses, status)
	})
	counters := map[string]relay.Counters{}
	if ids := each(eps, func(e relay.Endpoint) string { return e.ID }); len(ids) > 0 {
		if counters, err = s.Store.Counters(c.ctx(), ids...); err != nil {
			return answer{}, fmt.Errorf("read counters: %w", err)
		}
	}
	return s.listed(binding, each(eps, func(e relay.Endpoint) wireEndpoint { return s.endpointWire(e, counters[e.ID]) }), next)
}

func (s *server) readEndpoint(c *call) (answer, error) {
	ep, err := s.endpoint(c)
	if err != nil {
		return answer{}, err
	}
	counters, err := s.countersOf(c, ep.ID)
	if err != nil {
		return answer{}, err
	}
	return ok(s.endpointWire(ep, counters))
}

func (s *server) patchEndpoint(c *call) (answer, error) {
	o, err := c.object()
	if err != nil {
		return answer{}, err
	}
	f := endpointFields{
		Name:       field(o, "name", aLine),
		URL:        field(o, "url", aString),
		EventTypes: field(o, "event_types", listOf(1, maxEventTypes, anEventType)),
	}
	f.take(o)
	if err := o.done(); err != nil {
		return answer{}, err
	}
	ep, err := s.liveEndpoint(c)
	if err != nil {
		return answer{}, err
	}
	if err := s.checkEndpointFields(c, f); err != nil {
		return answer{}, err
	}
	if f.Status != nil && *f.Status == relay.Active {
		// Before the endpoint is active: one with old failures on its count would
		// soon be disabled again.
		if err := s.Store.ResetCounters(c.ctx(), ep.ID); err != nil {
			return answer{}, fmt.Errorf("reset counters of %s: %w", ep.ID, err)
		}
	}
	counters, err := s.countersOf(c, ep.ID)
	if err != nil {
		return answer{}, err
	}
	ep, fields, err := s.changeEndpoint(c, ep.ID, func(ep *relay.Endpoint) ([]string, error) {
		if ep.Deleted() {
			return nil, revoked()
		}
		return f.apply(ep, c.now), nil
	})
	if err != nil {
		return answer{}, err
	}
	if f.Status != nil && *f.Status == relay.Active {
		fields = append(fields, "failure_count")
	}
	if len(fields) > 0 {
		s.audit(c, "endpoint.update", ep.ID, fields...)
	}
	return ok(s.endpointWire(ep, counters))
}

func (s *server) deleteEndpoint(c *call) (answer, error) {
	ep, err := s.endpoint(c)
	if err != nil {
		return answer{}, err
	}
	counters, err := s.countersOf(c, ep.ID)
	if err != nil {
		return answer{}, err
	}
	ep, fields, err := s.changeEndpoint(c, ep.ID, func(ep *relay.Endpoint) ([]string, error) {
		if ep.Deleted() {
			return nil, nil
		}
		if ep.Status != relay.Disabled {
			ep.Disable(relay.DisabledManual, c.now)
		}
		ep.RevokedAt = c.now
		return []string{"status", "disabled_at", "revoked_at"}, nil
	})
	if err != nil {
		return answer{}, err
	}
	if len(fields) > 0 {
		s.audit(c, "endpoint.delete", ep.ID, fields...)
	}
	return ok(s.endpointWire(ep, counters))
}

func (s *server) rotateSecret(c *call) (answer, error) {
	overlap, err := c.overlap()
	if err != nil {
		return answer{}, err
	}
	ep, err := s.liveEndpoint(c)
	if err != nil {
		return answer{}, err
	}
	counters, err := s.countersOf(c, ep.ID)
	if err != nil {
		return answer{}, err
	}
	// Sealed once: if a write that was reported as a conflict did take effect,
	// the endpoint is found with it, and the secret before it is not lost.
	fresh := ep
	secret := s.newSecret(&fresh)
	ep, fields, err := s.changeEndpoint(c, ep.ID, func(ep *relay.Endpoint) ([]string, error) {
		if ep.Deleted() {
			return nil, revoked()
		}
		if ep.Secret == fresh.Secret {
			return nil, nil
		}
		place := seal.Place{Account: ep.Account, Object: ep.ID, Field: seal.SigningSecret}
		old, until, err := s.reseal(ep.Secret, place, seal.OldSigningSecret, c.now.Add(overlap), overlap)
		if err != nil {
			return nil, err
		}
		ep.Rotations++
		ep.Secret, ep.SecretPreview, ep.OldSecret, ep.OldSecretUntil = fresh.Secret, fresh.SecretPreview, old, until
		return []string{"signing_secret"}, nil
	})
	if err != nil {
		return answer{}, err
	}
	s.audit(c, "endpoint.rotate_secret", ep.ID, append(fields, "overlap_seconds")...)
	w := s.endpointWire(ep, counters)
	w.SigningSecret = secret.Reveal()
	return ok(w)
}
