package sqlite

import (
	"container/heap"
	fifo "container/list"
	"sync"
)

const (
	// firstLook is how many turns the first receive of a process looks for: those
	// whose messages were there before it.
	firstLook = 10_000
	// laterLook is how many a later one does, every lookEvery ms, for messages that
	// another process has sent, or that came back when a transaction was undone.
	laterLook = 8
	lookEvery = 10
)

// A turn is whose messages are received next: those of one group of an account.
type turn struct{ account, group string }

// turns say whose turn it is on a lane. Accounts take turns, and so do the groups
// of each, so that nobody waits for longer than it takes to serve every other
// account once, however much one of them has waiting.
//
// They are kept in memory and are hints: what counts is in the table, by its index
// (lane, account, grp, visible_at). A turn that is not known is found by looking
// from turn to turn, a few at every receive, and what is visible is received in
// any case. A receive reads one row more than it gives out for each turn that it
// serves, and laterLook besides, however many wait.
type turns struct {
	mu      sync.Mutex
	groups  map[turn]*group
	tenants map[string]*tenant
	ready   fifo.List // of tenants with ready groups; the first is next
	count   int       // of ready groups
	waiting byTime
	looked  int64 // when it was last looked
	last    turn  // where that has come to
}

type tenant struct {
	ready fifo.List // of groups
}

// A group is one turn. It is ready, or it waits until at.
type group struct {
	turn
	at    int64
	ready bool
	index int // in waiting
}

func newTurns() *turns {
	return &turns{groups: map[turn]*group{}, tenants: map[string]*tenant{}}
}

// note says that a message of this turn is visible at a time.
func (s *turns) note(of turn, at int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteLocked(of, at)
}

func (s *turns) noteLocked(of turn, at int64) {
	g := s.groups[of]
	if g == nil {
		g = &group{turn: of, at: at}
		s.groups[of] = g
		heap.Push(&s.waiting, g)
		return
	}
	if !g.ready && at < g.at {
		g.at = at
		heap.Fix(&s.waiting, g.index)
	}
}

// serve receives messages turn by turn until there are enough or no more.
func (s *turns) serve(t *taking) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.look(t); err != nil {
		return err
	}
	now := t.now.UnixMilli()
	for len(s.waiting) > 0 && s.waiting[0].at <= now {
		s.enter(heap.Pop(&s.waiting).(*group))
	}
	for t.looked < t.limit && s.count > 0 {
		g := s.leave()
		next, err := t.from(g.turn, max(1, (t.limit-t.looked)/(s.count+1)))
		switch {
		case err != nil:
			s.enter(g)
			return err
		case next == 0:
			delete(s.groups, g.turn)
		case next <= now:
			s.enter(g)
		default:
			g.at = next
			heap.Push(&s.waiting, g)
		}
	}
	if t.looked > 0 {
		return nil
	}
	of, err := t.oldest()
	for _, o := range of {
		s.noteLocked(o, now)
	}
	return err
}

// enter puts a group at the end of its account's turns.
func (s *turns) enter(g *group) {
	o := s.tenants[g.account]
	if o == nil {
		o = &tenant{}
		s.tenants[g.account] = o
		s.ready.PushBack(g.account)
	}
	g.ready = true
	o.ready.PushBack(g)
	s.count++
}

// leave takes the group out whose turn it is, and puts its account at the end.
func (s *turns) leave() *group {
	first := s.ready.Front()
	account := first.Value.(string)
	o := s.tenants[account]
	g := o.ready.Remove(o.ready.Front()).(*group)
	g.ready = false
	s.count--
	if o.ready.Len() > 0 {
		s.ready.MoveToBack(first)
	} else {
		s.ready.Remove(first)
		delete(s.tenants, account)
	}
	return g
}

// look goes on from turn to turn through the table, around and around.
func (s *turns) look(t *taking) error {
	n, now := laterLook, t.now.UnixMilli()
	if s.looked == 0 {
		n = firstLook
	} else if since := now - s.looked; since >= 0 && since < lookEvery {
		return nil
	}
	s.looked = now
	for range n {
		of, at, ok, err := t.after(s.last)
		if err != nil {
			return err
		}
		s.last = of
		if !ok {
			s.last = turn{}
			return nil
		}
		s.noteLocked(of, at)
	}
	return nil
}

// byTime are the groups that wait, as a heap by time.
type byTime []*group

// Len implements heap.Interface.
func (w byTime) Len() int { return len(w) }

// Less implements heap.Interface.
func (w byTime) Less(i, j int) bool { return w[i].at < w[j].at }

// Swap implements heap.Interface.
func (w byTime) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].index, w[j].index = i, j
}

// Push implements heap.Interface.
func (w *byTime) Push(x any) {
	g := x.(*group)
	g.index = len(*w)
	*w = append(*w, g)
}

// Pop implements heap.Interface.
func (w *byTime) Pop() any {
	old := *w
	g := old[len(old)-1]
	old[len(old)-1] = nil
	*w = old[:len(old)-1]
	return g
}
