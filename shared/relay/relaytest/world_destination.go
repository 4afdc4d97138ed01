package relaytest

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"hookferry/shared/relay"
)

// A post is one call that reached a destination.
type post struct {
	event, endpoint string
	number          int
	request         string
	at              time.Time
	step            int
	status          int // answered; 0: the connection broke
	recorded        bool
	repeated        bool // its attempt was on record when its own record came
}

// Moods of destinations.
const (
	moodWell = iota
	moodFlaky
	moodDown
	moodGone
	moods
)

// answer is the status that a destination gives, by its mood; 0 breaks the
// connection.
func (w *World) answer(p *post) (status int, retryAfter string) {
	w.mu.Lock()
	mood, scripted := w.endpoints[p.endpoint].mood, w.endpoints[p.endpoint].answer
	w.mu.Unlock()
	if scripted != nil {
		return scripted(p.number), ""
	}
	throw := w.dice.Throw("answer "+p.endpoint+strconv.Itoa(p.number), p.event)
	good := [moods]float64{.97, .5, .03, .2}[mood]
	if throw.Float64() < good {
		return []int{200, 204, 202}[throw.IntN(3)], ""
	}
	if mood == moodGone {
		return http.StatusGone, ""
	}
	status = []int{500, 500, 503, 429, 404, 302, 0}[throw.IntN(7)]
	if status == 503 || status == 429 {
		retryAfter = []string{"", "3", "90", "100000"}[throw.IntN(4)]
	}
	return status, retryAfter
}

// called takes a call to any destination of the world in, and returns what is
// answered. ErrCrashed means that who called is dead by then.
func (w *World) called(r *http.Request) (p *post, retryAfter string, err error) {
	p = &post{event: r.Header.Get("Rivya-Webhook-Id"), endpoint: r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:], request: r.Header.Get("Rivya-Request-Id")}
	p.number, _ = strconv.Atoi(r.Header.Get("Rivya-Webhook-Attempt"))
	w.mu.Lock()
	process := w.process
	w.mu.Unlock()
	err = process.Effect(func() error {
		retryAfter = w.posted(p)
		return nil
	})
	return p, retryAfter, err
}

// ServeHTTP is every destination of the world.
func (w *World) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, io.LimitReader(r.Body, 1<<20)); err != nil {
		panic(http.ErrAbortHandler)
	}
	p, retryAfter, err := w.called(r)
	if err != nil {
		panic(http.ErrAbortHandler) // who asked is dead
	}
	if p.status == 0 {
		// Half an answer: the call is neither repeated by the transport nor known
		// to have been taken.
		conn, buf, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer conn.Close()
		_, _ = buf.WriteString("HTTP/1.1 2")
		_ = buf.Flush()
		return
	}
	if retryAfter != "" {
		rw.Header().Set("Retry-After", retryAfter)
	}
	rw.WriteHeader(p.status)
}

// posted takes a call in and holds it to what may not be.
func (w *World) posted(p *post) (retryAfter string) {
	p.at = w.Clock.Now()
	p.status, retryAfter = w.answer(p)
	key := deliveryKey{p.event, p.endpoint}

	w.mu.Lock()
	p.step = w.step
	d := w.delivery(key)
	success, again := d.succeeded[d.run]
	w.posts = append(w.posts, p)
	other := w.byRequest[p.request]
	w.byRequest[p.request] = p
	e, endpoint := w.events[p.event], w.endpoints[p.endpoint].now()
	started := d.startedAt
	if d.run == 0 && e != nil {
		started = e.CreatedAt
	}
	if nap := time.Duration(w.dice.Throw("nap "+p.endpoint, p.event).IntN(1500)) * time.Millisecond; w.cfg.Script == nil && w.elapsed+nap <= patience {
		w.elapsed += nap
		w.Clock.Advance(nap)
	}
	w.mu.Unlock()

	w.tracef("POST %s to %s number %d (%s): %d", p.event, p.endpoint, p.number, p.request, p.status)
	switch {
	case other != nil:
		w.violatedf("request %s was posted twice", p.request)
	case e == nil:
		w.violatedf("%s was posted, which nobody sent in", p.event)
		return retryAfter
	case again && success < p.step:
		w.violatedf("%s to %s was posted again after its run %d had succeeded", p.event, p.endpoint, d.run)
	case p.at.After(started.Add(relay.GiveUpAfter + patience)):
		w.violatedf("%s to %s was posted after its end", p.event, p.endpoint)
	case endpoint.deleted && p.at.After(endpoint.at.Add(bite)):
		w.violatedf("%s was posted to %s, which had been deleted", p.event, p.endpoint)
	case endpoint.disabled && e.Only == "" && p.at.After(endpoint.at.Add(bite)):
		w.violatedf("%s was posted to %s, which had been disabled", p.event, p.endpoint)
	case e.Only != "" && e.Only != p.endpoint:
		w.violatedf("%s was posted to %s, and is for %s alone", p.event, p.endpoint, e.Only)
	case w.jumped: // what the provider was not asked in time is relayed or rejected unasked
	case e.Confirm == relay.ConfirmRequire && e.verdict != confirmed, e.Confirm == relay.ConfirmPrefer && e.verdict == denied:
		w.violatedf("%s was posted, and not confirmed", p.event)
	}
	return retryAfter
}

// Verdict says how the provider answers the question about a request that
// Confirmable was given: with the truth of it, or not at all.
func (w *World) Verdict(request string) (isTrue, answers bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.events[request]
	if e == nil {
		return false, true
	}
	return e.verdict == confirmed, e.verdict != unreachable
}

type deliveryKey struct{ event, endpoint string }

// A worldDelivery is what has truly happened to a delivery.
type worldDelivery struct {
	run       int // the latest
	startedAt time.Time
	token     string
	loose     bool           // its latest run may have no message
	succeeded map[int]int    // by run: the step in which a success was recorded
	runSteps  map[int]int    // by run: the step in which it was started
	ended     map[int]string // by run: how its final attempt ended
	attempts  map[int][]relay.Attempt
}

// delivery returns what is known of a delivery; the caller holds mu.
func (w *World) delivery(k deliveryKey) *worldDelivery {
	d, ok := w.deliv[k]
	if !ok {
		d = &worldDelivery{succeeded: map[int]int{}, runSteps: map[int]int{}, ended: map[int]string{}, attempts: map[int][]relay.Attempt{}}
		w.deliv[k] = d
	}
	return d
}

// observed is the true store, with the world looking on.
type observed struct {
	relay.Store
	w *World
}

func (s *observed) CreateEndpoint(ctx context.Context, e relay.Endpoint, limit int) error {
	err := s.Store.CreateEndpoint(ctx, e, limit)
	if err == nil {
		s.changed(e)
	}
	return err
}

func (s *observed) UpdateEndpoint(ctx context.Context, e relay.Endpoint) error {
	err := s.Store.UpdateEndpoint(ctx, e)
	if err == nil {
		s.changed(e)
	}
	return err
}

func (s *observed) changed(e relay.Endpoint) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	end := s.w.endpoints[e.ID]
	next := stateOf(e, s.w.Clock.Now())
	if len(end.history) > 0 {
		// The time of a deletion is that of the first such write.
		if was := end.now(); was.deleted && next.deleted {
			next.at = was.at
		}
	}
	end.history = append(end.history, next)
}

func (s *observed) PutEvent(ctx context.Context, r relay.EventRecord) (*relay.EventRecord, error) {
	existing, err := s.Store.PutEvent(ctx, r)
	if err == nil && existing == nil {
		s.w.mu.Lock()
		e, ok := s.w.events[r.ID]
		if !ok { // the dispatcher's own
			e = &worldEvent{Event: r.Event}
			s.w.events[r.ID] = e
		}
		e.putAt, e.CreatedAt = s.w.Clock.Now(), r.CreatedAt
		s.w.mu.Unlock()
		s.w.checkMatch(r)
	}
	return existing, err
}

func (s *observed) StartRun(ctx context.Context, account, event, endpoint, token string, at time.Time) (relay.Run, error) {
	run, err := s.Store.StartRun(ctx, account, event, endpoint, token, at)
	if err == nil {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		if d := s.w.delivery(deliveryKey{event, endpoint}); run.Number > d.run {
			d.run, d.startedAt, d.token, d.loose = run.Number, run.StartedAt, run.Token, false
			d.runSteps[run.Number] = s.w.step
		}
	}
	return run, err
}

func (s *observed) RecordAttempt(ctx context.Context, a relay.Attempt) (*relay.Attempt, error) {
	existing, err := s.Store.RecordAttempt(ctx, a)
	if err == nil {
		s.w.recorded(a, existing)
	}
	return existing, err
}
