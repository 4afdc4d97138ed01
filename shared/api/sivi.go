package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"hookferry/events"
	"hookferry/shared/rawjson"
	"hookferry/shared/relay"
)

// The four answers of Sivi's update-webhook, to the letter.
const (
	siviUpdated         = "Successfully updated the webhook URL"
	siviUnauthenticated = "Failed to authenticate request. Please add sivi-api-key header in request"
	siviInvalid         = "Invalid input"
	siviBroken          = "Server internal error"
)

func siviAnswer(status int, message string) answer {
	var w struct {
		Status int `json:"status"`
		Body   struct {
			Message string `json:"message"`
		} `json:"body"`
	}
	w.Status, w.Body.Message = status, message
	return answer{status: status, body: w}
}

// siviFailure is the error body of Sivi's calls. An account that is full of
// endpoints is told Invalid input: a client cannot mend it by calling again.
func siviFailure(_ *call, e *relay.Error) answer {
	switch statuses[e.Kind] {
	case http.StatusUnauthorized, http.StatusForbidden:
		return siviAnswer(http.StatusUnauthorized, siviUnauthenticated)
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusConflict:
		return siviAnswer(http.StatusUnprocessableEntity, siviInvalid)
	}
	return siviAnswer(http.StatusInternalServerError, siviBroken)
}

// updateWebhook makes or updates the one endpoint that belongs to the key of the
// sivi-api-key header.
func (s *server) updateWebhook(c *call) (answer, error) {
	if len(c.r.Header.Values("sivi-api-key")) > 1 {
		return answer{}, &relay.Error{Kind: relay.KindKeyInvalid, Detail: "There is more than one sivi-api-key header."}
	}
	if err := s.identify(c, relay.Secret(c.r.Header.Get("sivi-api-key"))); err != nil {
		return answer{}, err
	}
	if !c.key.Allows(relay.ScopeManage) || c.key.Hidden { // an endpoint belongs to a key that lasts
		return answer{}, &relay.Error{Kind: relay.KindScopeDenied, Detail: "This call needs a key with the scope webhooks:manage."}
	}
	url, err := c.webhookURL()
	if err != nil {
		return answer{}, err
	}
	if err := s.checkURL(c, url); err != nil {
		return answer{}, &relay.Error{Kind: relay.KindURLRejected, Detail: sentence(err.Error())}
	}
	// Another call of the same key may make the endpoint at the same time, and
	// what is read may be some seconds old: then look again.
	wait := s.retryWait
	for range casTries {
		err = s.setWebhook(c, url)
		if !errors.Is(err, relay.ErrExists) && !errors.Is(err, errGone) {
			break
		}
		if werr := sleep(c, wait); werr != nil {
			return answer{}, werr
		}
		wait *= 2
	}
	if err != nil {
		return answer{}, err
	}
	return siviAnswer(http.StatusOK, siviUpdated), nil
}

// errGone: what was found as live has been deleted or taken meanwhile.
var errGone = errors.New("endpoint is gone")

func sleep(c *call, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.ctx().Done():
		return c.ctx().Err()
	}
}

// webhookURL reads the body as Sivi does: other fields and the Content-Type
// count for nothing.
func (c *call) webhookURL() (string, error) {
	body, err := c.readBody()
	if err != nil {
		return "", err
	}
	if tooDeep(body) || !rawjson.Valid(body) {
		return "", relay.Invalid("", "The body is not valid JSON.")
	}
	values, err := rawjson.Fields(body, "webhookUrl")
	if err != nil {
		return "", relay.Invalid("", "The body is not an object with one webhookUrl.")
	}
	url, isText := rawjson.String(values[0])
	if !isText {
		return "", relay.Invalid("webhookUrl", "webhookUrl must be a string.")
	}
	return url, nil
}

// setWebhook points the key's endpoint at the URL: the one it has, else the one
// with this URL whose own key is dead, else a new one.
func (s *server) setWebhook(c *call, url string) error {
	own, orphan, err := s.findWebhook(c, url)
	if err != nil {
		return err
	}
	if own == "" {
		own = orphan
	}
	if own == "" {
		return s.createWebhook(c, url)
	}
	taking := own == orphan
	ep, fields, err := s.changeEndpoint(c, own, func(ep *relay.Endpoint) ([]string, error) {
		if ep.Deleted() || !taking && ep.KeyID != c.key.ID {
			return nil, errGone
		}
		var fields []string
		if ep.KeyID != c.key.ID {
			ep.KeyID, fields = c.key.ID, append(fields, "key_id")
		}
		if ep.URL != url {
			ep.URL, fields = url, append(fields, "url")
		}
		// Whoever sets the URL wants its events: what Hookferry disabled because
		// the old receiver failed is active again. What the owner disabled by hand
		// is not, for clients make this call whenever they start.
		if ep.Status == relay.Disabled && ep.DisabledReason != relay.DisabledManual {
			if err := s.Store.ResetCounters(c.ctx(), ep.ID); err != nil {
				return nil, fmt.Errorf("reset counters of %s: %w", ep.ID, err)
			}
			activate(ep)
			fields = append(fields, "status")
		}
		return fields, nil
	})
	if errors.Is(err, relay.ErrNotFound) {
		return errGone
	}
	if err == nil && len(fields) > 0 {
		s.audit(c, "endpoint.update_webhook", ep.ID, fields...)
	}
	return err
}

// findWebhook returns the id of the key's own endpoint, and of a live one with
// this URL that belongs to a dead key; empty if there is none. Create and update
// refuse a second endpoint for a key, so an old view does no harm.
func (s *server) findWebhook(c *call, url string) (own, orphan string, err error) {
	eps, err := s.Store.LiveEndpoints(c.ctx(), c.account())
	if err != nil {
		return "", "", fmt.Errorf("find the key's endpoint: %w", err)
	}
	for _, ep := range eps {
		if ep.KeyID == c.key.ID {
			return ep.ID, "", nil
		}
	}
	for _, ep := range eps {
		if ep.KeyID == "" || ep.URL != url || ep.ID < orphan {
			continue
		}
		k, err := s.Store.Key(c.ctx(), c.account(), ep.KeyID)
		if err != nil && !errors.Is(err, relay.ErrNotFound) {
			return "", "", fmt.Errorf("read key %s: %w", ep.KeyID, err)
		}
		if err != nil || dead(k, c.now) {
			orphan = ep.ID
		}
	}
	return "", orphan, nil
}

func (s *server) createWebhook(c *call, url string) error {
	ep := relay.Endpoint{
		ID: relay.NewID(relay.EndpointPrefix, c.now), Account: c.account(), Name: "Sivi webhook", URL: url,
		EventTypes: generationTypes(), Format: relay.FormatSivi, Signatures: []relay.Scheme{relay.SchemeRivya},
		Status: relay.Active, CreatedAt: c.now, UpdatedAt: c.now, KeyID: c.key.ID,
	}
	s.newSecret(&ep) // shown by nobody: rotate-secret gives one to who wants to verify
	if err := s.putEndpoint(c, ep); err != nil {
		return err
	}
	s.audit(c, "endpoint.create", ep.ID, "name", "url", "event_types", "format", "key_id")
	return nil
}

// generationTypes are the types of events that Sivi's calls become.
func generationTypes() []string {
	var names []string
	for _, t := range events.Catalogue() {
		if strings.HasPrefix(t.Name, "generation.") {
			names = append(names, t.Name)
		}
	}
	return names
}
