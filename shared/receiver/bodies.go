package receiver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"hookferry/shared/bounds"
	"hookferry/shared/relay"
)

// Bounds of reading a body.
const (
	// readStep is how much of a body is accounted for at a time.
	readStep = 16 << 10
	// slowAfter is how long a body may take whatever its speed; beyond it, it
	// must come with slowest bytes a second.
	slowAfter = bounds.BodySlow
	slowest   = 16 << 10
	// roomWait is how long a body waits for room.
	roomWait = bounds.BodyRoom
)

// Bodies bounds the bytes of bodies that are in hand at once over all calls of a
// process. Half of them are for callers that were proved before their body, by
// the token in the URL; no source has more than a sixteenth. It is safe for
// concurrent use.
type Bodies struct {
	total int64

	mu       sync.Mutex
	used     int64
	unproved int64
	bySource map[string]int64
	freed    chan struct{} // closed when room has become free
}

// NewBodies returns a bound of total bytes, which must be at least 16 times
// relay.MaxPayload for every source to be able to send the largest event.
func NewBodies(total int64) *Bodies {
	return &Bodies{total: total, bySource: map[string]int64{}, freed: make(chan struct{})}
}

// take takes n bytes, and waits up to roomWait for them. It reports false if
// there is no room.
func (b *Bodies) take(ctx context.Context, source string, proved bool, n int64) bool {
	timer := time.NewTimer(roomWait)
	defer timer.Stop()
	for {
		b.mu.Lock()
		if b.used+n <= b.total && b.bySource[source]+n <= b.total/16 && (proved || b.unproved+n <= b.total/2) {
			b.used += n
			b.bySource[source] += n
			if !proved {
				b.unproved += n
			}
			b.mu.Unlock()
			return true
		}
		freed := b.freed
		b.mu.Unlock()
		select {
		case <-freed:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

func (b *Bodies) give(source string, proved bool, n int64) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if !proved {
		b.unproved -= n
	}
	if b.bySource[source] -= n; b.bySource[source] == 0 {
		delete(b.bySource, source)
	}
	close(b.freed)
	b.freed = make(chan struct{})
}

var (
	errNoRoom = errors.New("too many bodies in hand")
	errSlow   = errors.New("the body came too slowly")
)

// A meter reads a body and accounts for what has come of it.
type meter struct {
	ctx    context.Context
	body   io.Reader
	bodies *Bodies
	source string
	proved bool

	conn  *http.ResponseController
	start time.Time
	read  int64
	taken int64
}

func (m *meter) Read(p []byte) (int, error) {
	if m.bodies != nil && m.read+int64(len(p)) > m.taken && m.taken < relay.MaxPayload {
		p = p[:min(len(p), readStep)]
		if more := min(m.read+int64(len(p)), relay.MaxPayload) - m.taken; more > 0 {
			if !m.bodies.take(m.ctx, m.source, m.proved, more) {
				return 0, errNoRoom
			}
			m.taken += more
		}
	}
	// Where there is no connection to set it on, behind a gateway, there is no
	// deadline, and the gateway has read the body.
	deadline := m.start.Add(slowAfter + time.Duration(m.read)*time.Second/slowest)
	_ = m.conn.SetReadDeadline(deadline)
	n, err := m.body.Read(p)
	m.read += int64(n)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errSlow
	}
	return n, err
}

// read returns the body, or a refusal when it is larger than an event may be,
// comes too slowly, or finds no room. The caller calls done when the body is no
// longer in hand.
func (rc *receiver) read(w http.ResponseWriter, r *http.Request, c *call, proved bool) (body []byte, done func(), err error) {
	m := &meter{
		ctx: r.Context(), body: http.MaxBytesReader(w, r.Body, relay.MaxPayload), bodies: rc.Bodies,
		source: c.source, proved: proved, conn: http.NewResponseController(w), start: time.Now(),
	}
	done = func() {
		if rc.Bodies != nil {
			rc.Bodies.give(m.source, m.proved, m.taken)
		}
	}
	// What the caller declares is believed for a little only: memory follows the
	// bytes that come.
	var buf bytes.Buffer
	buf.Grow(int(min(max(r.ContentLength, 0), readStep)) + bytes.MinRead)
	_, err = buf.ReadFrom(m)
	var over *http.MaxBytesError
	switch {
	case err == nil:
		return buf.Bytes(), done, nil
	case errors.As(err, &over):
		err = tooLarge()
	case errors.Is(err, errNoRoom):
		w.Header().Set("Retry-After", "1")
		err = refusal("busy", relay.KindUnavailable, "Too many calls are under way. Please send the event again.")
	case errors.Is(err, errSlow):
		w.Header().Set("Connection", "close")
		err = refusal("body_slow", relay.KindValidation, "The body came more slowly than 16 KB a second.")
	default:
		err = refusal("body_cut", relay.KindValidation, "The body did not come completely.")
	}
	done()
	return nil, func() {}, err
}
