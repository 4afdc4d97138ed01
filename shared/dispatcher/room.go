package dispatcher

import (
	"sync"
	"time"

	"hookferry/shared/relay"
)

// The shares of the calls in flight. They are shares of what is free, so that
// some of it stays free however many take theirs: an account whose endpoints
// answer has at most 2/3 of all calls in flight, two such accounts 2/5 each; one
// whose endpoints are not known to answer has 1/3, two of those 1/4 each. Of what
// its account may still have, an endpoint gets a part.
const (
	provenAccount, provenPlace = 2.0, 4.0
	newAccount, newPlace       = 0.5, 8.0

	// keptPart of all is kept free for places that are known to answer.
	keptPart = 8

	// silentPart of all is what a place has whose last call got no answer.
	silentPart = 256
	// stallAfter without any answer, calls to a place are not waited for.
	stallAfter = time.Second
	// patience is how long a call waits for room while its place does answer.
	patience = 2 * time.Second
	// maxWaiting calls wait for room at a time.
	maxWaiting = 256
	// lookAgain is how often a call that waits looks for room that others left.
	lookAgain = 20 * time.Millisecond

	// What finds no room comes again in turn, after minHold to maxHold.
	minHold = 500 * time.Millisecond
	maxHold = time.Minute
	// maxGap is the longest time between two turns of one place.
	maxGap = 5 * time.Second
	// forgetAfter of silence a place is forgotten.
	forgetAfter = 6 * time.Hour
)

// rooms bounds the calls that a process has in flight, over all accounts and
// places that are called: endpoints, and sources whose provider is asked. It
// measures time by the process's own clock. It is safe for concurrent use.
type rooms struct {
	size   int
	jitter func(time.Duration) time.Duration

	mu       sync.Mutex
	busy     int
	waiting  int
	accounts map[string]*tenant
	sweptAt  time.Time
}

// A tenant is an account that has calls in flight, or had some of late.
type tenant struct {
	busy   int
	places map[string]*place
}

// A place is what is called.
type place struct {
	busy, waiting int
	// proven: the last call was answered. silent: it was not.
	proven, silent bool
	heardAt        time.Time     // the last answer, or the start of the first call in flight
	endedAt        time.Time     // the last call's end
	gap            time.Duration // between two ends, smoothed
	turn           time.Time     // of the last call that was put off
	freed          chan struct{} // closed when a call ends
}

func newRooms(size int, jitter func(time.Duration) time.Duration) *rooms {
	return &rooms{size: size, jitter: jitter, accounts: map[string]*tenant{}}
}

func (r *rooms) find(account, to string) (*tenant, *place) {
	a := r.accounts[account]
	if a == nil {
		a = &tenant{places: map[string]*place{}}
		r.accounts[account] = a
	}
	p := a.places[to]
	if p == nil {
		p = &place{freed: make(chan struct{}), gap: lookAgain}
		a.places[to] = p
	}
	return a, p
}

// limit is how many calls a place may have in flight now, at least one while its
// account has room.
func (r *rooms) limit(a *tenant, p *place) int {
	free := float64(r.size - r.busy)
	account, part := newAccount, newPlace
	if p.proven && !p.stalled() {
		account, part = provenAccount, provenPlace
	} else if r.size-r.busy <= (r.size+keptPart-1)/keptPart {
		return 0
	}
	left := max(account*free, 1) - float64(a.busy)
	if free <= 0 || left <= 0 {
		return 0
	}
	most := max(int(left/part), 1)
	if p.silent {
		most = min(most, max(r.size/silentPart, 1))
	}
	return most
}

// stalled reports whether a place has had calls in flight for a while and
// answered none.
func (p *place) stalled() bool {
	return p.silent || p.busy > 0 && time.Since(p.heardAt) > stallAfter
}

// take takes room for a call if there is any.
func (r *rooms) take(a *tenant, p *place) bool {
	if p.busy >= r.limit(a, p) {
		return false
	}
	if p.busy == 0 {
		p.heardAt = time.Now()
	}
	r.busy++
	a.busy++
	p.busy++
	return true
}

// enter takes room for a call to a place, and waits for it while the place
// answers and the time for calls is not over. If there is none it returns how
// long to put the call off, or 0 if it has become too late.
func (r *rooms) enter(account, to string, late <-chan struct{}) (in bool, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if over(late) {
		return false, 0
	}
	r.sweep()
	a, p := r.find(account, to)
	if r.take(a, p) {
		return true, 0
	}
	if p.waiting >= max(r.limit(a, p), relay.MaxBatch) || r.waiting >= maxWaiting {
		return false, r.putOff(p)
	}
	p.waiting++
	r.waiting++
	defer func() { p.waiting--; r.waiting-- }()
	for end := time.Now().Add(patience); !p.stalled() && time.Now().Before(end); {
		freed := p.freed
		r.mu.Unlock()
		timer := time.NewTimer(lookAgain)
		select {
		case <-late:
		case <-freed:
		case <-timer.C:
		}
		timer.Stop()
		r.mu.Lock()
		if over(late) {
			return false, 0
		}
		if r.take(a, p) {
			return true, 0
		}
	}
	return false, r.putOff(p)
}

func over(late <-chan struct{}) bool {
	select {
	case <-late:
		return true
	default:
		return false
	}
}

// putOff gives a call that finds no room its turn, as far from the one before as
// calls to the place end: not all of them are to ask again together.
func (r *rooms) putOff(p *place) time.Duration {
	now := time.Now()
	first, last := now.Add(minHold), now.Add(maxHold)
	p.turn = p.turn.Add(p.gap)
	if p.turn.Before(first) {
		p.turn = first
	}
	if p.turn.After(last) {
		p.turn = last
		return maxHold/2 + r.jitter(maxHold/2)
	}
	return p.turn.Sub(now)
}

// How a call ended, as far as it matters for the room that calls get.
type ending int

const (
	endedUncalled ending = iota // no call was made
	endedWell
	endedBadly   // failed, and at once or with an answer
	endedSilence // waited for an answer in vain
)

// endingOf says how the call of an attempt ended. A connection that was refused
// at once took up no room to speak of.
func endingOf(a relay.Attempt) ending {
	switch {
	case a.Status == relay.AttemptSucceeded:
		return endedWell
	case a.HTTPStatus != 0 || a.Duration < stallAfter:
		return endedBadly
	}
	return endedSilence
}

// leave gives the room of a call back.
func (r *rooms) leave(account, to string, how ending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, p := r.find(account, to)
	r.busy--
	a.busy--
	p.busy--
	close(p.freed)
	p.freed = make(chan struct{})
	if how == endedUncalled {
		return
	}
	now := time.Now()
	if !p.endedAt.IsZero() {
		p.gap += (min(now.Sub(p.endedAt), maxGap) - p.gap) / 8
	}
	p.endedAt = now
	p.proven, p.silent = how != endedSilence, how == endedSilence
	if how != endedSilence {
		p.heardAt = now
	}
}

// sweep forgets places that were not called for a while, now and then.
func (r *rooms) sweep() {
	now := time.Now()
	if now.Sub(r.sweptAt) < forgetAfter {
		return
	}
	r.sweptAt = now
	for id, a := range r.accounts {
		for to, p := range a.places {
			if p.busy == 0 && p.waiting == 0 && now.Sub(p.endedAt) > forgetAfter {
				delete(a.places, to)
			}
		}
		if len(a.places) == 0 {
			delete(r.accounts, id)
		}
	}
}
