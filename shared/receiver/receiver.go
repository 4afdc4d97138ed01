// Package receiver takes the providers' calls: it proves who called, makes the
// event durable with one send to the events queue, and answers (contract
// section 7). Nothing else is written, asked or waited for, but for a count of
// what was refused, once a minute at most (Refusals).
//
//	POST /in/{source}          proof: the signature, as Rivya, as Standard
//	                           Webhooks, or as the source's recipe says
//	POST /in/{source}/{token}  a Sivi source; proof: the token
//
// # Order of checks
//
// What costs nothing and depends on no source comes first (path, method, the
// declared size), then the source, then what can be proved without the body,
// then the body, which is never read beyond relay.MaxPayload, then the
// signature, and only then is the body parsed. So a caller without proof costs
// at most one source look-up, which is cached, and one bounded read; and it
// learns what the contract says of a source and nothing more: that it is not
// there (404), or that the proof is wrong (401).
//
// # Duplicates
//
// The receiver does not look for them. A provider calls again when our answer
// got lost after the send, and then the same event is on the queue twice, under
// two message ids: the dispatcher puts it once and drops the other. So each of
// the calls is answered 200.
//
// # What is logged
//
// A refused call leaves a line at INFO, one that failed by our fault at ERROR,
// with the request id that the caller was told. An accepted one has a line at
// DEBUG, so none by default, for its record is the event; where metrics are
// written, its count and latency alone are, in a line that says nothing else. A
// Sivi token is part of the path, so the path is in no line and in no error.
package receiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"hookferry/shared/bounds"
	"hookferry/shared/recipe"
	"hookferry/shared/relay"
	"hookferry/shared/seal"
	"hookferry/shared/telemetry"
)

// Config is what a receiver needs.
type Config struct {
	// Sources finds the source that is called. Its answers may be cached for 5 s.
	Sources interface {
		IngestSource(ctx context.Context, id string) (relay.Source, error)
	}
	// Events is the lane that an accepted event is sent to.
	Events relay.Queue
	// Keys opens the signing secrets that sources are stored with.
	Keys seal.Opener
	// PublicURL begins the URL that a source shows, without a slash at its end.
	// It is needed for recipes that sign the URL alone.
	PublicURL string
	// Bodies bounds the bodies in hand; nil: there is no bound, as in a function
	// that is given one call at a time.
	Bodies *Bodies
	// Usage tells how much is kept of an account's events, and Limit how much may
	// be before its providers' calls are not taken any more; nil: there is no bound.
	Usage relay.UsageStore
	Limit relay.Usage
	// Refusals counts the refused calls of each source; nil: nobody does.
	Refusals *Refusals
	// Payload makes the body of an event what is kept of it; nil: relay.NewPayload,
	// which deflates it.
	Payload func([]byte) relay.Payload
	Now     func() time.Time
	Log     *telemetry.Log // nil: none
}

// Bounds of what is waited for, so that a caller always gets an answer before
// its own patience, or the gateway's 30 s, ends.
const (
	lookupTimeout = bounds.ReceiverLookup
	sendTimeout   = bounds.ReceiverSend
)

// New returns the handler of everything under /in/. It is safe for concurrent use.
func New(c Config) http.Handler {
	if c.Payload == nil {
		c.Payload = relay.NewPayload
	}
	return &receiver{Config: c}
}

type receiver struct {
	Config
	recipes recipes
}

// A proved call is an event, or a challenge, which has no event.
type proved struct {
	relay.Event
	proof     string // see relay.Message.Proof
	challenge *recipe.Answer
}

// A call is one request on its way through the checks.
type call struct {
	id     string // of the request
	now    time.Time
	source string
	token  relay.Secret
	// known is set once the source has been found, in use or not.
	known bool
	// hasToken tells /in/{source}/ from /in/{source}.
	hasToken bool
	line     *telemetry.Line
}

// ServeHTTP answers one call.
func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := rc.Now()
	c := &call{id: relay.NewID(relay.RequestPrefix, now), now: now, line: rc.Log.Line("receive")}
	c.line.Set(slog.String("request_id", c.id))
	w.Header().Set("X-Request-Id", c.id)

	got, err := rc.receive(w, r, c)
	// What is left of a body is not waited for: the server reads on after the
	// answer, and would hold the connection for whoever never sends it. For the
	// next call it sets a deadline of its own.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(slowAfter))
	if err != nil {
		rc.refuse(w, r, c, err)
		return
	}
	if got.challenge != nil {
		c.line.Set(slog.Bool("challenge", true))
		c.line.End(r.Context(), slog.LevelInfo)
		w.Header().Set("Content-Type", got.challenge.ContentType)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Write(got.challenge.Body)
		return
	}
	c.line.Count(telemetry.Accepted, 1)
	c.line.ObserveDuration(telemetry.AcceptLatency, rc.Now().Sub(now))
	c.line.End(r.Context(), slog.LevelDebug)
	answer(w, http.StatusOK, struct {
		Received bool   `json:"received"`
		ID       string `json:"id"`
	}{true, got.ID})
}

// receive returns the event once it is durable, or the challenge.
func (rc *receiver) receive(w http.ResponseWriter, r *http.Request, c *call) (proved, error) {
	if !c.route(r.URL.Path) {
		return proved{}, refusal("path", relay.KindNotFound, "There is nothing at this path.")
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return proved{}, refusal("method", relay.KindMethodNotAllowed, "Call this URL with POST.")
	}
	if r.ContentLength > relay.MaxPayload {
		return proved{}, tooLarge()
	}
	src, err := rc.lookup(r.Context(), c)
	if err != nil {
		return proved{}, err
	}
	c.line.Set(slog.String("source_id", src.ID), slog.String("account", src.Account), slog.String("provider", string(src.Provider)))

	var got proved
	done := func() {}
	defer func() { done() }()
	switch src.Provider {
	case relay.Rivya:
		got.Event, done, err = rc.rivya(w, r, c, src)
		got.Key = relay.EventKey(src.ID, got.ID)
	case relay.Sivi:
		got.Event, done, err = rc.sivi(w, r, c, src)
	default:
		got, done, err = rc.byRecipe(w, r, c, src)
	}
	if err != nil || got.challenge != nil {
		return got, err
	}
	got.Account, got.SourceID, got.RequestID, got.CreatedAt = src.Account, src.ID, c.id, relay.Millis(c.now)
	got.Passes, got.TraceParent = relay.ParsePasses(r.Header.Values(relay.PassesHeader)), relay.ParseTraceParent(r.Header.Values("Traceparent"))
	c.line.Set(slog.String("event_id", got.ID), slog.String("event_type", got.Type))
	return got, rc.accept(r.Context(), got)
}

// route takes the path apart. It looks at the decoded path, in which a token,
// made of URL-safe characters, reads as it was given out.
func (c *call) route(path string) bool {
	rest, ok := strings.CutPrefix(path, "/in/")
	if !ok {
		return false
	}
	var token string
	c.source, token, c.hasToken = strings.Cut(rest, "/")
	c.token = relay.Secret(token)
	return c.source != "" && !strings.Contains(token, "/")
}

// lookup returns the source if it is there, in use, and of the provider whose
// call this is. The three are one answer.
func (rc *receiver) lookup(ctx context.Context, c *call) (relay.Source, error) {
	unknown := refusal("source", relay.KindNotFound, "There is no active source at this URL.")
	if !plausibleSource(c.source) {
		return relay.Source{}, unknown
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	src, err := rc.Sources.IngestSource(ctx, c.source)
	if errors.Is(err, relay.ErrNotFound) {
		return relay.Source{}, unknown
	}
	if err != nil {
		return relay.Source{}, unavailable(fmt.Errorf("look up source %s: %w", c.source, err))
	}
	c.known = true
	if src.Status != relay.Active || (src.Provider == relay.Sivi) != c.hasToken {
		return relay.Source{}, unknown
	}
	return src, nil
}

// plausibleSource keeps what cannot be a source's ID from the store.
func plausibleSource(id string) bool {
	if !strings.HasPrefix(id, relay.SourcePrefix) || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// accept makes the event durable. The caller may have hung up by now: Sivi never
// calls again, so what has been proved is sent all the same.
//
// If we die between the send and the answer, the event is durable and the
// caller does not know: Rivya calls again, and the dispatcher drops the second.
func (rc *receiver) accept(ctx context.Context, got proved) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	if err := rc.room(ctx, got.Account); err != nil {
		return err
	}
	m := relay.NewEventMessage(got.Event)
	m.Proof = got.proof
	if err := rc.Events.Send(ctx, m.Outgoing(got.CreatedAt)); err != nil {
		return unavailable(fmt.Errorf("send event %s: %w", got.ID, err))
	}
	return nil
}

// room fails if the account keeps as many events as it may: a provider that
// retries does, and whoever runs the relay reads why. If that cannot be told, the
// event is taken.
func (rc *receiver) room(ctx context.Context, account string) error {
	if rc.Usage == nil {
		return nil
	}
	u, err := rc.Usage.Usage(ctx, account)
	if full := err == nil && !u.Within(rc.Limit); !full {
		return nil
	}
	refused := unavailable(fmt.Errorf("account %s keeps %d events of %d bytes, and may keep %d of %d (ACCOUNT_EVENTS, ACCOUNT_MIB; providers: twice that)",
		account, u.Events, u.Bytes, rc.Limit.Events, rc.Limit.Bytes))
	refused.reason = "account_full"
	return refused
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // structs of strings and booleans always marshal
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body)
}
