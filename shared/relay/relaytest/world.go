package relaytest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"hookferry/shared/relay"
)

// A Dispatcher is what a World drives: shared/dispatcher, as its processes use
// it.
type Dispatcher interface {
	Handle(ctx context.Context, lane relay.Queue, batch []relay.Received) (failed []string)
	Repair(ctx context.Context) (overdue int, err error)
}

// Ports are what one process has of the world.
type Ports struct {
	Store           relay.Store
	Events, Retries relay.Queue
	Now             func() time.Time
}

// WorldConfig says what a World is made of.
type WorldConfig struct {
	Seed    uint64
	Faults  Faults
	Crashes bool // processes die at any of their effects
	// Schedule is the dispatcher's.
	Schedule relay.Schedule
	// URL is where the World's destinations are served, without a slash at its
	// end. An endpoint's URL is this, a slash and its ID.
	URL string
	// Dispatcher starts a process.
	Dispatcher func(Ports) Dispatcher
	// Seal gives an endpoint its sealed secrets.
	Seal func(relay.Endpoint) relay.Endpoint
	// Confirmable, when set, makes the body of a provider's call that has to be
	// confirmed under a request ID; Verdict says what the provider, asked, says.
	Confirmable func(request string) []byte
	// Source is where such calls come from.
	Source relay.Source
	// Script, if there is one, decides about every fault and death instead of
	// the seed, and which of several calls at once comes first is settled by
	// their names: see Script.
	Script *Script
	// Answers, if there are any, make an endpoint each, that wants everything
	// and answers an attempt by its number, counted from 1, with a status.
	Answers []func(number int) int
}

// A World is one account's endpoints, events, queues and destinations, in which
// dispatcher processes live and die. Its steps follow from the seed. It knows
// what has truly happened, and holds the dispatcher to it after every step:
// see Violations.
type World struct {
	cfg     WorldConfig
	Clock   *Clock
	rand    *rand.Rand
	dice    *Dice
	store   *observed // the true one
	lanes   [2]*MemoryQueue
	faulty  [2]*FaultyQueue
	weather relay.Store

	process    *Process
	dispatcher Dispatcher

	mu        sync.Mutex
	step      int
	elapsed   time.Duration // in this step, waiting for destinations
	crashed   map[int]bool  // steps in which a process died
	trouble   map[int]bool  // steps in which a send to a queue failed
	made      int           // identifiers
	jumped    bool          // past the end of everything that was under way
	events    map[string]*worldEvent
	endpoints map[string]*worldEndpoint
	deliv     map[deliveryKey]*worldDelivery
	posts     []*post
	byRequest map[string]*post
	hurried   map[string]time.Time // endpoints whose open deliveries were asked for early, and since when
	trace     []string
	faults    []string
}

const (
	eventsLane  = 0
	retriesLane = 1

	// WorldAccount owns everything in a World.
	WorldAccount = "acct_world"

	// visibility is that of the deployed queues: six times the invocation.
	visibility = 6 * time.Minute
	// bite is how long an edit may take to be seen (contract section 1).
	bite = 10 * time.Second
	// patience is how much of a step destinations may take: with the 5 s of a
	// cache it stays within bite.
	patience = 3 * time.Second
)

// NewWorld returns a world with some endpoints.
func NewWorld(ctx context.Context, cfg WorldConfig) *World {
	w := &World{
		cfg: cfg, Clock: NewClock(), rand: rand.New(rand.NewPCG(cfg.Seed, 1)), dice: NewDice(cfg.Seed),
		crashed: map[int]bool{}, trouble: map[int]bool{}, events: map[string]*worldEvent{}, endpoints: map[string]*worldEndpoint{},
		deliv: map[deliveryKey]*worldDelivery{}, byRequest: map[string]*post{},
	}
	w.dice.script = cfg.Script
	w.store = &observed{Store: NewMemory(w.Clock.Now, Retention), w: w}
	w.weather = FaultyStore(w.store, w.dice, cfg.Faults, w.Clock.Now)
	for i, name := range []string{"events", "retries"} {
		w.lanes[i] = NewMemoryQueue(w.Clock.Now)
		w.faulty[i] = NewFaultyQueue(w.lanes[i], name, w.dice, cfg.Faults, w.Clock.Now)
	}
	if cfg.Confirmable != nil {
		w.must(w.store.CreateSource(ctx, cfg.Source, 1))
	}
	for _, answer := range cfg.Answers {
		w.create(ctx, &worldEndpoint{answer: answer}, []string{"*"})
	}
	n := 1 + w.rand.IntN(4)
	if len(cfg.Answers) > 0 {
		n = 0
	} else if w.rand.IntN(12) == 0 {
		n = 22 + w.rand.IntN(6) // more than an invocation posts to itself
	}
	for range n {
		w.createEndpoint(ctx)
	}
	w.start()
	return w
}

// must panics: only the true store, which never fails, is asked through it.
func (w *World) must(err error) {
	if err != nil {
		panic(err)
	}
}

func (w *World) id(prefix string) string {
	w.made++
	return fmt.Sprintf("%s%020d", prefix, w.made)
}

func (w *World) tracef(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, fmt.Sprintf("%4d %s ", w.step, w.Clock.Now().Format("02 15:04:05.000"))+fmt.Sprintf(format, args...))
}

// violatedf notes that a promise was broken. The caller holds no lock.
func (w *World) violatedf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.mu.Lock()
	known := slices.Contains(w.faults, text)
	if !known {
		w.faults = append(w.faults, text)
	}
	w.mu.Unlock()
	if !known {
		w.tracef("VIOLATED: %s", text)
	}
}

// Violations returns the promises that were broken so far.
func (w *World) Violations() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.faults)
}

// Trace returns what has happened, a line for each thing.
func (w *World) Trace() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.trace, "\n")
}

// start begins a new incarnation of the dispatcher.
func (w *World) start() {
	p := Live()
	if w.cfg.Crashes && !w.dice.calm.Load() && w.rand.IntN(4) > 0 {
		p = DieAt(1+w.rand.IntN(40), w.rand.IntN(2) == 0)
	}
	w.StartProcess(p)
}

// StartProcess begins a new incarnation of the dispatcher as the process p.
func (w *World) StartProcess(p *Process) {
	w.mu.Lock()
	w.process = p
	w.mu.Unlock()
	w.directed(p)
	w.dispatcher = w.cfg.Dispatcher(w.ports(p))
}

func (w *World) ports(p *Process) Ports {
	ports := Ports{
		Store: p.Store(w.weather), Events: p.Queue(watched{w.faulty[eventsLane], w}), Retries: p.Queue(watched{w.faulty[retriesLane], w}),
		Now: w.Clock.Now,
	}
	if s := w.cfg.Script; s != nil {
		ports = s.ports(ports)
	}
	return ports
}

// watched notes which steps had trouble with sending: what could be neither
// recorded nor queued may be done twice.
type watched struct {
	relay.Queue
	w *World
}

func (q watched) Send(ctx context.Context, msgs ...relay.Outgoing) error {
	err := q.Queue.Send(ctx, msgs...)
	if err != nil {
		q.w.mu.Lock()
		defer q.w.mu.Unlock()
		q.w.trouble[q.w.step] = true
	}
	return err
}

// visitor is a process that serves one call of the API or the receiver.
func (w *World) visitor() (Ports, *Process) {
	p := Live()
	if w.cfg.Crashes && w.rand.IntN(6) == 0 {
		p = DieAt(1+w.rand.IntN(3), w.rand.IntN(2) == 0)
	}
	w.directed(p)
	return w.ports(p), p
}

// directed leaves it to the script, if there is one, when a process dies.
func (w *World) directed(p *Process) {
	if !w.dice.calm.Load() {
		p.script = w.cfg.Script
	}
}
