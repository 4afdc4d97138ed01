package relaytest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"hookferry/shared/relay"
)

// A Script decides, in place of a seed, at each point where something can go
// wrong in a World: whether a call fails, a message is received twice, a process
// dies. The points are numbered in the order in which the run comes to them, and
// the script says yes at those it was given and no at all others.
//
// A run under a script is the same each time. Calls that a process makes at once
// are made one after the other, in the order of their names, each when all that
// it has set off has come to its next call; so a point that comes after the last
// yes of a script is a point of the same run with one more. This is how Enumerate
// comes to every schedule once and to none twice. It works in a bubble of
// testing/synctest alone.
type Script struct {
	yes []int

	mu      sync.Mutex
	points  []string // the names of all points so far
	waiting []*turn
}

// A turn is a call that waits to be made.
type turn struct {
	name string
	goOn chan struct{}
}

// NewScript returns a script that says yes at the points, which are ascending.
func NewScript(yes ...int) *Script { return &Script{yes: yes} }

// Wrong returns at how many points the script says yes.
func (s *Script) Wrong() int { return len(s.yes) }

// Points returns the names of the points that the run has come to, in order.
func (s *Script) Points() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.points)
}

// Yes returns the names of the points at which the script has said yes.
func (s *Script) Yes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, i := range s.yes {
		if i < len(s.points) {
			names = append(names, s.points[i])
		}
	}
	return names
}

// choose reports what the script says at a point.
func (s *Script) choose(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.points = append(s.points, name)
	_, found := slices.BinarySearch(s.yes, len(s.points)-1)
	return found
}

// take waits until it is the turn of a call.
func (s *Script) take(ctx context.Context, name string) {
	t := &turn{name + " for " + relay.MessageOf(ctx), make(chan struct{})}
	s.mu.Lock()
	s.waiting = append(s.waiting, t)
	s.mu.Unlock()
	<-t.goOn
}

// Direct runs f, and gives turns to the calls of the processes in it until it
// returns. Where all of them wait for a time, the time passes.
func (s *Script) Direct(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	for {
		synctest.Wait()
		select {
		case <-done:
			return
		default:
		}
		if t := s.next(); t != nil {
			close(t.goOn)
		} else {
			time.Sleep(50 * time.Millisecond)
		}
	}
}

func (s *Script) next() *turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		return nil
	}
	first := 0
	for i, t := range s.waiting {
		if t.name < s.waiting[first].name {
			first = i
		}
	}
	t := s.waiting[first]
	s.waiting = slices.Delete(s.waiting, first, first+1)
	return t
}

// ports returns the ports with a turn before each call.
func (s *Script) ports(p Ports) Ports {
	p.Store = Intercept(p.Store, func(ctx context.Context, c Call, do func() error) error {
		s.take(ctx, c.Op+" "+c.About)
		return do()
	})
	p.Events, p.Retries = turnQueue{p.Events, s, "events"}, turnQueue{p.Retries, s, "retries"}
	return p
}

type turnQueue struct {
	relay.Queue
	s    *Script
	name string
}

func (q turnQueue) Send(ctx context.Context, msgs ...relay.Outgoing) error {
	names := make([]string, len(msgs))
	for i, m := range msgs {
		names[i] = about(m.Body)
	}
	q.s.take(ctx, q.name+" send "+strings.Join(names, ","))
	return q.Queue.Send(ctx, msgs...)
}

func (q turnQueue) Delete(ctx context.Context, msgs ...relay.Received) error {
	q.s.take(ctx, q.name+" delete")
	return q.Queue.Delete(ctx, msgs...)
}

func (q turnQueue) Hide(ctx context.Context, msg relay.Received, d time.Duration) error {
	q.s.take(ctx, q.name+" hide "+about(msg.Body))
	return q.Queue.Hide(ctx, msg, d)
}

func (q turnQueue) Bury(ctx context.Context, msg relay.Received, reason string) error {
	q.s.take(ctx, q.name+" bury "+about(msg.Body))
	return q.Queue.Bury(ctx, msg, reason)
}

// A Caller makes calls to a World's destinations in memory.
type Caller struct{ World *World }

// Do makes one call.
func (c Caller) Do(r *http.Request) (*http.Response, error) {
	if s := c.World.cfg.Script; s != nil {
		s.take(r.Context(), "call "+r.URL.Path+" "+r.Header.Get("Rivya-Webhook-Id")+" "+r.Header.Get("Rivya-Webhook-Attempt"))
	}
	p, retryAfter, err := c.World.called(r)
	if err == nil && p.status == 0 {
		err = errors.New("the connection broke")
	}
	if err != nil {
		return nil, err
	}
	answer := &http.Response{StatusCode: p.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r}
	if retryAfter != "" {
		answer.Header.Set("Retry-After", retryAfter)
	}
	return answer, nil
}

// Thaw does nothing.
func (Caller) Thaw(time.Time) {}
