package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"hookferry/shared/bounds"
	"hookferry/shared/relay"
	"hookferry/shared/telemetry"
)

// callTimeout bounds what a call does on the ports; a gateway waits 30 s.
const callTimeout = bounds.APICall

// A call is one request on its way.
type call struct {
	w     http.ResponseWriter
	r     *http.Request
	id    string
	now   time.Time
	key   relay.Key // zero where the route asks for none
	query url.Values
	line  *telemetry.Line
	level slog.Level // of the line, if the call succeeds
}

// answer is a response before it is encoded. A nil body means none, raw is sent
// as it is.
type answer struct {
	status int
	body   any
	raw    []byte
}

func ok(body any) (answer, error) { return answer{status: http.StatusOK, body: body}, nil }

func (c *call) ctx() context.Context { return c.r.Context() }
func (c *call) account() string      { return c.key.Account }

// wrap makes a handler of a route.
func (s *server) wrap(rt route) http.Handler {
	if rt.fail == nil {
		rt.fail = apiFailure
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			// A client that hangs up must not leave a write half done.
			ctx = context.WithoutCancel(ctx)
		}
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()

		now := relay.Millis(s.Now())
		c := &call{
			w: w, r: r.WithContext(ctx), id: relay.NewID(relay.RequestPrefix, now), now: now,
			line: s.Log.Line("api"), level: slog.LevelDebug,
		}
		w.Header().Set("X-Request-Id", c.id)
		w.Header().Set("Cache-Control", "no-store")
		c.line.Set(slog.String("request_id", c.id), slog.String("method", r.Method), slog.String("route", rt.path))

		ans, err := s.run(rt, c)
		var body []byte
		if err == nil {
			body, err = ans.encode()
		}
		if err != nil {
			e := presented(err)
			ans = rt.fail(c, e)
			c.level = slog.LevelInfo
			if ans.status >= 500 {
				c.level = slog.LevelError
				c.line.Count(telemetry.ServerErrors, 1)
			}
			c.line.Set(slog.String("code", string(e.Kind)), slog.String("error", err.Error()))
			if body, err = ans.encode(); err != nil {
				panic(err) // strings always marshal
			}
		}
		ans.write(w, r, body)
		if c.key.ID != "" {
			c.line.Set(slog.String("account", c.key.Account), slog.String("key", c.key.ID))
		}
		c.line.Set(slog.Int("status", ans.status))
		c.line.End(ctx, c.level)
	})
}

// run authenticates and serves the call; a panic is an internal error.
func (s *server) run(rt route, c *call) (ans answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			ans, err = answer{}, internal(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	if rt.scope != "" {
		if err := s.authorize(c, rt.scope); err != nil {
			return answer{}, err
		}
		if err := c.parseQuery(rt.query); err != nil {
			return answer{}, err
		}
	}
	return rt.serve(s, c)
}

func (a answer) encode() ([]byte, error) {
	if a.raw != nil || a.body == nil {
		return a.raw, nil
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // URLs stay readable; the type is not HTML
	if err := enc.Encode(a.body); err != nil {
		return nil, internal(fmt.Errorf("encode answer: %w", err))
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil // Sivi's answers are to the letter
}

func (a answer) write(w http.ResponseWriter, r *http.Request, body []byte) {
	h := w.Header()
	if len(body) > 0 {
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(len(body)))
		h.Set("X-Content-Type-Options", "nosniff")
	}
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		w.Write(body) // a client that has gone is no failure of ours
	}
}

// authorize finds the key of the Authorization header and asks it for a scope.
func (s *server) authorize(c *call, scope relay.Scope) error {
	if len(c.r.Header.Values("Authorization")) > 1 {
		// A gateway would join them; no two readers would take the same one.
		return &relay.Error{Kind: relay.KindKeyInvalid, Detail: "There is more than one Authorization header: send one."}
	}
	scheme, token, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return &relay.Error{
			Kind:   relay.KindKeyMissing,
			Detail: "A Bearer API key is needed: send Authorization: Bearer " + relay.APIKeyPrefix + "….",
		}
	}
	if err := s.identify(c, relay.Secret(token)); err != nil {
		return err
	}
	if scope != anyScope && !c.key.Allows(scope) {
		return &relay.Error{Kind: relay.KindScopeDenied, Detail: "This call needs a key with the scope " + string(scope) + "."}
	}
	return nil
}

// identify sets c.key to the live key of this text. It is looked up by its
// SHA-256, so the time of the look-up tells nothing about any key.
func (s *server) identify(c *call, text relay.Secret) error {
	invalid := &relay.Error{Kind: relay.KindKeyInvalid, Detail: "There is no such API key."}
	if !strings.HasPrefix(text.Reveal(), relay.APIKeyPrefix) || len(text) > 200 {
		return invalid
	}
	key, err := s.Store.KeyByHash(c.ctx(), relay.HashSecret(text))
	if errors.Is(err, relay.ErrNotFound) {
		return invalid
	}
	if err != nil {
		return fmt.Errorf("find key: %w", err)
	}
	err = key.Check(c.now)
	if err == nil && key.Hidden {
		err = s.checkMaker(c, key)
	}
	if err != nil {
		c.line.Set(slog.String("account", key.Account), slog.String("key", key.ID))
		return err
	}
	c.key = key
	return nil
}

// checkMaker ends the key of a portal link with the key that made it, at once.
func (s *server) checkMaker(c *call, key relay.Key) error {
	maker, err := s.Store.Key(c.ctx(), key.Account, key.CreatedBy())
	switch {
	case errors.Is(err, relay.ErrNotFound):
		return &relay.Error{Kind: relay.KindKeyRevoked, Detail: "This link has ended."}
	case err != nil:
		return fmt.Errorf("read the maker of key %s: %w", key.ID, err)
	}
	return maker.Check(c.now)
}

// audit writes the line of a management write: names of fields, never values.
func (s *server) audit(c *call, action, object string, fields ...string) {
	if s.Audit == nil {
		return
	}
	attrs := []slog.Attr{
		slog.String("request_id", c.id), slog.String("account", c.key.Account), slog.String("key", c.key.ID),
		slog.String("action", action), slog.String("object", object),
	}
	if len(fields) > 0 {
		attrs = append(attrs, slog.Any("fields", slices.Clone(fields)))
	}
	s.Audit.LogAttrs(c.ctx(), slog.LevelInfo, "audit", attrs...)
}
