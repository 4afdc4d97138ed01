package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"hookferry/shared/bounds"
	"hookferry/shared/egress"
	"hookferry/shared/relay"
	"hookferry/shared/seal"
	"hookferry/shared/sivi"
	"hookferry/shared/telemetry"
)

// Bounds of one invocation.
const (
	maxFanOut    = 20                 // first attempts of one event; the rest go through the retries queue
	startMargin  = bounds.StartMargin // from the end of the last call to the invocation's
	recordBound  = bounds.Record      // for recording an outcome, within startMargin
	sendBound    = bounds.Send        // for sending a message after it
	hideBound    = bounds.Hide        // for hiding a message that must come again, the last thing done
	lastWords    = bounds.LastWords   // before the invocation's end
	earlySlack   = time.Second        // between the clocks of two of our machines
	defaultLimit = time.Minute        // of an invocation without a deadline
)

// Config says what a Dispatcher works with and how.
type Config struct {
	// Store is asked for the live endpoints for every message, so a cache of a
	// few seconds belongs in front of it (shared/cache).
	Store           relay.Store
	Events, Retries relay.Queue
	Keys            seal.Opener
	Client          Client

	Schedule        relay.Schedule // nil: relay.DefaultSchedule
	HeaderPrefix    string         // of what is sent; empty: Rivya
	DeliveryTimeout time.Duration  // of one call; 0: 10 s
	// MaxCalls is how many calls the process has in flight over all invocations
	// that it has at once, so that destinations that hang cannot take all of its
	// memory and files. Accounts and endpoints get shares of it. 0: 128.
	MaxCalls     int
	FailingAfter time.Duration // of nothing but failures disables an endpoint; 0: 120 h

	Sivi         *sivi.Client  // nil: Sivi is never asked
	ExpectFirst  time.Duration // until Sivi is asked for a terminal call that did not come; 0: 10 min
	ExpectGiveUp time.Duration // until that ends; 0: 24 h

	// Retention is how long the store keeps an event, and so how long what its
	// provider signed is known; 0: 30 days.
	Retention time.Duration

	Now func() time.Time
	// Jitter returns a random time from 0 up to, and without, the one given, so
	// that what waits together does not come back together. nil: math/rand/v2.
	Jitter func(time.Duration) time.Duration
	Log    *telemetry.Log // nil: no lines
}

// A Client makes the calls to endpoints: an egress.Client, which alone guards
// against addresses that may not be called. Tests have others.
type Client interface {
	// Do makes one call. Its error is one that egress.Classify understands, and
	// wraps egress.ErrShortage if it is our own.
	Do(*http.Request) (*http.Response, error)
	// Thaw is told when work begins, for connections that died meanwhile.
	Thaw(now time.Time)
}

// A Dispatcher acts on messages. It is safe for concurrent use.
type Dispatcher struct {
	Config
	counters counters
	filters  filters
	activity activity
	rooms    *rooms // of calls in flight
	sick     sick
	short    shortageLog
}

// New returns a Dispatcher.
func New(cfg Config) *Dispatcher {
	if cfg.Schedule == nil {
		cfg.Schedule = relay.DefaultSchedule()
	}
	if cfg.Retention == 0 {
		cfg.Retention = 30 * 24 * time.Hour
	}
	if cfg.HeaderPrefix == "" {
		cfg.HeaderPrefix = "Rivya"
	}
	setDefault(&cfg.DeliveryTimeout, 10*time.Second)
	setDefault(&cfg.FailingAfter, 120*time.Hour)
	setDefault(&cfg.ExpectFirst, 10*time.Minute)
	setDefault(&cfg.ExpectGiveUp, 24*time.Hour)
	if cfg.Jitter == nil {
		cfg.Jitter = rand.N[time.Duration]
	}
	if cfg.MaxCalls <= 0 {
		cfg.MaxCalls = 128
	}
	return &Dispatcher{
		Config: cfg, rooms: newRooms(cfg.MaxCalls, cfg.Jitter), sick: sick{by: map[string]*patient{}}, counters: counters{tallies: map[string]*tally{}},
	}
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}

// work is one call of Handle.
type work struct {
	*Dispatcher
	lane    relay.Queue
	line    *telemetry.Line
	until   time.Time       // the invocation's end, on the dispatcher's clock
	late    <-chan struct{} // closed when it is too late to start a call
	retries *outbox
	whole   context.Context // the invocation's

	mu     sync.Mutex
	events map[relay.EventRef]*event
	later  int // outcomes left to a record-only message
}

// An item is a message in hand. Its error, if acting on it failed, is either a
// poison or a reason to let it come again.
type item struct {
	relay.Received
	relay.Message
}

// A poison is why a message can never be acted on.
type poison struct{ err error }

func (p poison) Error() string { return p.err.Error() }
func (p poison) Unwrap() error { return p.err }

// onlyPoison returns a poison of the error if that is all it is made of. With
// another failure beside it the message comes again: what failed for a passing
// reason must not be buried with what failed for good.
func onlyPoison(err error) (p poison, ok bool) {
	if parts, joined := any(err).(interface{ Unwrap() []error }); joined {
		for _, part := range parts.Unwrap() {
			if p, ok = onlyPoison(part); !ok {
				return poison{}, false
			}
		}
		return p, ok
	}
	if inner := errors.Unwrap(err); inner != nil && !isPoison(err) {
		return onlyPoison(inner)
	}
	ok = errors.As(err, &p)
	return p, ok
}

func isPoison(err error) bool {
	_, is := any(err).(poison)
	return is
}

// Handle acts on a batch that was received from lane, and returns the IDs of the
// messages that must come again, which it has hidden for a short, jittered time.
// The caller deletes all others. ctx has a deadline, the invocation's end, and
// Handle returns before it. Whatever a destination did is no failure.
func (d *Dispatcher) Handle(ctx context.Context, lane relay.Queue, batch []relay.Received) (failed []string) {
	w, ctx, cancel := d.begin(ctx, lane)
	defer cancel()
	w.line.Observe(telemetry.BatchSize, float64(len(batch)))

	var mu sync.Mutex
	fail := func(ctx context.Context, in relay.Received, attrs []slog.Attr, err error) {
		w.fail(ctx, in, attrs, err)
		mu.Lock()
		defer mu.Unlock()
		failed = append(failed, in.ID)
	}

	ready := w.sort(ctx, batch, fail)
	w.retries.enter(len(ready))
	var wg sync.WaitGroup
	for i, it := range ready {
		atOnce(&wg, i == len(ready)-1, func() {
			defer w.retries.leave()
			ctx := relay.ForMessage(ctx, it.ID)
			err := w.guard(func() error { return w.act(ctx, it) })
			if p, ok := onlyPoison(err); ok {
				err = w.bury(ctx, it.Received, p.err)
			} else if errors.Is(err, egress.ErrShortage) {
				// A question to Sivi that was not asked; deliveries see to themselves.
				err = w.retries.send(ctx, w.afterShortage(ctx, it.Message, err))
			}
			if err != nil {
				fail(ctx, it.Received, it.attrs(), err)
			}
		})
	}
	wg.Wait()

	d.settle(w.whole, w.line, false)
	if w.later > 0 {
		w.line.Set(slog.Int("recorded_later", w.later))
	}
	w.line.Count(telemetry.ItemsFailed, len(failed))
	w.line.End(ctx, slog.LevelInfo)
	return failed
}

// begin returns the work of an invocation and the context that all of it has. It
// ends before the invocation's own, which remains for what is said at the end.
func (d *Dispatcher) begin(ctx context.Context, lane relay.Queue) (*work, context.Context, context.CancelFunc) {
	now := d.Now()
	d.Client.Thaw(now)
	cancelAll := func() {}
	deadline, ok := ctx.Deadline()
	if !ok {
		ctx, cancelAll = context.WithTimeout(ctx, defaultLimit)
		deadline, _ = ctx.Deadline()
	}
	start, cancel := context.WithDeadline(ctx, deadline.Add(-d.DeliveryTimeout-startMargin))
	w := &work{
		Dispatcher: d, lane: lane, line: d.Log.Line("dispatch"), late: start.Done(),
		// A context's deadline is on the process's clock, which need not be ours.
		until:   relay.Millis(now.Add(time.Until(deadline))),
		retries: &outbox{queue: d.Retries, now: d.Now},
		events:  map[relay.EventRef]*event{},
	}
	w.whole = ctx
	ctx, cancelWork := context.WithDeadline(ctx, deadline.Add(-hideBound-lastWords))
	return w, ctx, func() { cancelWork(); cancel(); cancelAll() }
}

// sort buries what cannot be decoded, lets come again what a newer program wrote,
// for that one to take, puts back what has come early, in batches
// and before any call is made, and returns the rest.
func (w *work) sort(ctx context.Context, batch []relay.Received, fail func(context.Context, relay.Received, []slog.Attr, error)) (ready []item) {
	now := w.Now()
	var early []item
	var back []relay.Outgoing
	for _, in := range batch {
		m, err := relay.DecodeMessage(in.Body)
		it := item{in, m}
		switch {
		case errors.Is(err, relay.ErrNewerMessage):
			fail(ctx, in, nil, err)
		case err != nil:
			if err := w.bury(ctx, in, err); err != nil {
				fail(ctx, in, nil, err)
			}
		case m.ActAt().After(now.Add(slack(m))) && !w.misdated(m, now):
			early = append(early, it)
			back = append(back, m.Outgoing(now))
		default:
			ready = append(ready, it)
		}
	}
	if len(early) == 0 {
		return ready
	}
	// A crash after this and before the caller's delete leaves two copies with
	// one MID, of which the second to record its attempt ends.
	lost := sendErrors(w.lane.Send(ctx, back...), len(back))
	for i, it := range early {
		if err := lost[i]; err != nil {
			fail(ctx, it.Received, it.attrs(), fmt.Errorf("put back until due: %w", err))
		} else {
			w.line.Count(telemetry.Hops, 1)
		}
	}
	return ready
}

// slack is how early a message may be acted on: none where a wait was promised,
// and a little where it says when another machine, by its own clock, made it.
func slack(m relay.Message) time.Duration {
	if m.Kind == relay.MessageEvent || m.Kind == relay.MessageAttempt && m.Number == 1 {
		return earlySlack
	}
	return 0
}

// bury puts a message on the dead-letter queue. A crash after it leaves the
// message in both places, and it is buried once more.
func (w *work) bury(ctx context.Context, in relay.Received, reason error) error {
	if err := w.lane.Bury(ctx, in, reason.Error()); err != nil {
		return fmt.Errorf("bury a message (%s): %w", reason.Error(), err)
	}
	w.line.Count(telemetry.Poisoned, 1)
	w.Log.Failure(ctx, "message buried", reason, slog.String("queue_id", in.ID))
	return nil
}

// act does what the message asks for.
func (w *work) act(ctx context.Context, it item) error {
	switch it.Kind {
	case relay.MessageEvent:
		return w.event(ctx, it.Message)
	case relay.MessageAttempt:
		return w.attempt(ctx, it.Message)
	case relay.MessageRecord:
		return w.record(ctx, it.Message)
	case relay.MessageConfirm:
		return w.confirm(ctx, it.Message)
	case relay.MessageExpect:
		return w.expect(ctx, it.Message, it.Receives)
	case relay.MessageReplay:
		return w.replay(ctx, it.Message)
	}
	return poison{fmt.Errorf("kind %q is not known", it.Kind)}
}

// atOnce runs f in a goroutine of its own, or here if it is the last that wg
// waits for: a lone one, which is the usual case, needs no other stack to grow.
func atOnce(wg *sync.WaitGroup, last bool, f func()) {
	if last {
		f()
		return
	}
	wg.Go(f)
}

// guard makes a panic an error, so that one message cannot end the process that
// works on others, again and again.
func (w *work) guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

// fail logs why a message must come again, and hides it for a short time that
// grows with its receives to at most two minutes, jittered, so that what failed
// together does not come back together.
func (w *work) fail(ctx context.Context, in relay.Received, attrs []slog.Attr, err error) {
	w.Log.Failure(ctx, "message failed", err, append(attrs, slog.String("queue_id", in.ID), slog.Int("receives", in.Receives))...)
	ctx, cancel := detached(w.whole, hideBound)
	defer cancel()
	if err := w.lane.Hide(ctx, in, w.comeback(in.Receives)); err != nil {
		w.Log.Failure(ctx, "message not hidden", err, slog.String("queue_id", in.ID))
	}
}

func (d *Dispatcher) comeback(receives int) time.Duration {
	longest := min(5*time.Second<<min(max(receives-1, 0), 5), 2*time.Minute)
	return time.Second + d.Jitter(longest-time.Second)
}

// attrs names what a message is about, in a line about its failure.
func (it item) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("kind", string(it.Kind)), slog.String("mid", it.MID), slog.String("account", it.Account)}
	add := func(name, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(name, value))
		}
	}
	event, endpoint := it.Ref.ID, it.EndpointID
	if it.Event != nil {
		event = it.Event.ID
	}
	if a := it.Attempt; a != nil {
		event, endpoint = a.EventID, a.EndpointID
	}
	add("event", event)
	add("endpoint", endpoint)
	add("source", it.SourceID)
	add("replay", it.ReplayID)
	return attrs
}

// detached returns a context for what must be finished once it has begun. It ends
// after d, and not when its parent is cancelled; but it never outlasts the
// invocation, whose end is the parent's deadline: what is still going on then is
// killed without a word, and the little that is left before is for saying so.
func detached(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok {
		d = min(d, max(time.Until(end)-lastWords, 0))
	}
	return context.WithTimeout(context.WithoutCancel(ctx), d)
}
