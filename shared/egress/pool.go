package egress

import (
	"bufio"
	"container/list"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// A connKey says which calls may share a connection: those of one owner to one
// host. An account's calls never travel on a connection of another's.
type connKey struct{ owner, scheme, hostport string }

// A conn is one connection, used by one call at a time.
type conn struct {
	net.Conn
	raw  net.Conn // below TLS
	key  connKey
	br   *bufio.Reader
	in   *io.LimitedReader // what br reads, bounded while an answer's header is read
	born time.Time
	gen  int // of the pool when it was made

	reused bool
	idleAt time.Time // when it was kept
	place  *list.Element
}

// settle is how long a connection rests before it is used again. What a server
// writes beyond its answer in the same breath has arrived by then, and is seen.
const settle = 10 * time.Millisecond

// A pool keeps idle connections. It is safe for concurrent use.
type pool struct {
	max, maxPerKey int

	mu    sync.Mutex
	idle  map[connKey][]*conn // the last used at the end
	all   *list.List          // of *conn, the longest idle first
	gen   int                 // raised to let go of every connection
	loud  map[connKey]bool    // servers that have written without being asked
	timer *time.Timer
}

func newPool(most, perKey int) *pool {
	return &pool{max: most, maxPerKey: perKey, idle: map[connKey][]*conn{}, all: list.New(), loud: map[connKey]bool{}}
}

// maxLoud is how many servers are remembered as loud; beyond it all are
// forgotten and found out again.
const maxLoud = 10_000

// take returns a kept connection that is alive and younger than maxAge, or nil.
func (p *pool) take(key connKey, now time.Time, maxAge time.Duration) *conn {
	for {
		p.mu.Lock()
		var c *conn
		for _, candidate := range p.idle[key] { // the longest rested first
			if time.Since(candidate.idleAt) >= settle {
				c = candidate
				break
			}
		}
		if c == nil {
			p.mu.Unlock()
			return nil
		}
		p.remove(c)
		p.mu.Unlock()
		switch age := now.Sub(c.born); {
		case age >= maxAge || age < 0:
		case c.quiet(p):
			c.reused = true
			return c
		}
		c.Close()
	}
}

// quiet reports whether nothing has come on the connection since it was kept. A
// server that has written without being asked gets no second call on any
// connection: what it writes next could be taken for an answer.
func (c *conn) quiet(p *pool) bool {
	state, first := peek(c.raw)
	if state == peekData && (c.key.scheme == "http" || unasked(first)) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.loud) >= maxLoud {
			clear(p.loud)
		}
		p.loud[c.key] = true
	}
	return state == peekNothing
}

// unasked reports whether the beginning of a TLS record is that of data, and not
// of an alert, with which servers close an idle connection: sealed, an alert has
// 19 bytes.
func unasked(record []byte) bool {
	const data, longestAlert = 0x17, 32
	return len(record) >= 5 && record[0] == data && (record[3] != 0 || record[4] > longestAlert)
}

// put keeps a connection for the next call, or closes it.
func (p *pool) put(c *conn) {
	c.idleAt = time.Now()
	p.mu.Lock()
	if c.gen != p.gen || p.loud[c.key] || len(p.idle[c.key]) >= p.maxPerKey || p.max <= 0 {
		p.mu.Unlock()
		c.Close()
		return
	}
	var oldest *conn
	if p.all.Len() >= p.max {
		oldest = p.all.Front().Value.(*conn)
		p.remove(oldest)
	}
	p.idle[c.key] = append(p.idle[c.key], c)
	c.place = p.all.PushBack(c)
	if p.timer == nil {
		p.timer = time.AfterFunc(idleTimeout, p.sweep)
	}
	p.mu.Unlock()
	if oldest != nil {
		oldest.Close()
	}
}

// remove takes a connection out. The caller holds the lock.
func (p *pool) remove(c *conn) {
	p.all.Remove(c.place)
	rest := slices.DeleteFunc(p.idle[c.key], func(other *conn) bool { return other == c })
	if len(rest) == 0 {
		delete(p.idle, c.key)
	} else {
		p.idle[c.key] = rest
	}
}

// sweep closes what has been idle for idleTimeout, and comes again while
// anything is kept.
func (p *pool) sweep() {
	var over []*conn
	p.mu.Lock()
	for e := p.all.Front(); e != nil; e = p.all.Front() {
		c := e.Value.(*conn)
		if rest := idleTimeout - time.Since(c.idleAt); rest > 0 {
			p.timer.Reset(rest)
			break
		}
		p.remove(c)
		over = append(over, c)
	}
	if p.all.Len() == 0 {
		p.timer = nil
	}
	p.mu.Unlock()
	for _, c := range over {
		c.Close()
	}
}

// closeIdle closes what is kept. What is in use is not kept when its call ends.
func (p *pool) closeIdle() {
	p.mu.Lock()
	over := p.all
	p.all, p.idle = list.New(), map[connKey][]*conn{}
	p.gen++
	p.mu.Unlock()
	for e := over.Front(); e != nil; e = e.Next() {
		e.Value.(*conn).Close()
	}
}

func (p *pool) generation() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gen
}

// What peek finds on a connection that nobody reads.
type peeked int

const (
	peekNothing peeked = iota // it is open, and nothing has come
	peekData
	peekClosed // or in an unknown state
)
