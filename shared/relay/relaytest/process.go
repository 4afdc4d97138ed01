package relaytest

import (
	"context"
	"errors"
	"sync"
	"time"

	"hookferry/shared/relay"
)

// ErrCrashed is what everything answers that a dead process asks.
var ErrCrashed = errors.New("the process has died")

// A Process is one incarnation of a program that may die. Its effects are
// counted: what it writes to stores, what it does to queues, and what its test
// counts besides (Effect), its POSTs. At the chosen one it dies, before or after
// the effect took place, and nobody learns of it: every later call fails with
// ErrCrashed. It is safe for concurrent use.
type Process struct {
	mu      sync.Mutex
	effects int
	dieAt   int
	after   bool
	dead    bool
	script  *Script // decides about its death, if there is one
}

// Live returns a process that never dies.
func Live() *Process { return &Process{} }

// DieAt returns a process that dies at its step-th effect, counted from 1.
func DieAt(step int, after bool) *Process { return &Process{dieAt: step, after: after} }

// Dead reports whether the process has died.
func (p *Process) Dead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// Effects returns how many effects the process has had, the deadly one included.
func (p *Process) Effects() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.effects
}

// Kill ends the process between two effects.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = true
}

// Effect runs do as an effect of the process. It returns do's error, or
// ErrCrashed if the process is dead by then.
func (p *Process) Effect(do func() error) error {
	p.mu.Lock()
	if p.dead {
		p.mu.Unlock()
		return ErrCrashed
	}
	p.effects++
	if p.script != nil && p.dieAt == 0 {
		if p.script.choose("death before effect") {
			p.dieAt, p.after = p.effects, false
		} else if p.script.choose("death after effect") {
			p.dieAt, p.after = p.effects, true
		}
	}
	dies := p.effects == p.dieAt
	p.dead = dies
	p.mu.Unlock()
	if dies && !p.after {
		return ErrCrashed
	}
	err := do()
	if p.Dead() {
		return ErrCrashed
	}
	return err
}

// read runs do, which has no effect.
func (p *Process) read(do func() error) error {
	if p.Dead() {
		return ErrCrashed
	}
	err := do()
	if p.Dead() {
		return ErrCrashed
	}
	return err
}

// Store returns the store as the process sees it.
func (p *Process) Store(s relay.Store) relay.Store {
	return Intercept(s, func(_ context.Context, c Call, do func() error) error {
		if c.Write {
			return p.Effect(do)
		}
		return p.read(do)
	})
}

// Queue returns the queue as the process sees it.
func (p *Process) Queue(q relay.Queue) relay.Queue { return processQueue{p, q} }

type processQueue struct {
	p *Process
	q relay.Queue
}

func (q processQueue) Send(ctx context.Context, msgs ...relay.Outgoing) error {
	return q.p.Effect(func() error { return q.q.Send(ctx, msgs...) })
}

func (q processQueue) Receive(ctx context.Context, limit int, wait, visibility time.Duration) (msgs []relay.Received, err error) {
	err = q.p.Effect(func() (err error) {
		msgs, err = q.q.Receive(ctx, limit, wait, visibility)
		return err
	})
	if err != nil {
		return nil, err
	}
	return msgs, nil
}

func (q processQueue) Delete(ctx context.Context, msgs ...relay.Received) error {
	return q.p.Effect(func() error { return q.q.Delete(ctx, msgs...) })
}

func (q processQueue) Hide(ctx context.Context, msg relay.Received, d time.Duration) error {
	return q.p.Effect(func() error { return q.q.Hide(ctx, msg, d) })
}

func (q processQueue) Bury(ctx context.Context, msg relay.Received, reason string) error {
	return q.p.Effect(func() error { return q.q.Bury(ctx, msg, reason) })
}
