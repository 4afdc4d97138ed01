package dispatcher_test

import (
	"cmp"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"hookferry/shared/relay/relaytest"
)

// A destination is what endpoints point to. It answers 200 unless told.
type destination struct {
	clock *relaytest.Clock
	url   string

	mu     sync.Mutex
	calls  []call
	answer func(c call) reply
	busy   int
	most   int // calls at once
}

type call struct {
	at     time.Time
	name   string
	header http.Header
	body   string
	host   string
}

type reply struct {
	status     int
	body       string
	retryAfter string
	location   string
	hold       time.Duration // real time
}

func (d *destination) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	c := call{at: d.clock.Now(), name: strings.TrimPrefix(req.URL.Path, "/"), header: req.Header, body: string(body), host: req.Host}
	d.mu.Lock()
	d.calls = append(d.calls, c)
	d.busy++
	d.most = max(d.most, d.busy)
	answer := d.answer
	d.mu.Unlock()
	rep := reply{status: 200}
	if answer != nil {
		rep = answer(c)
	}
	if rep.hold > 0 {
		select {
		case <-time.After(rep.hold):
		case <-req.Context().Done():
		}
	}
	d.mu.Lock()
	d.busy--
	d.mu.Unlock()
	if rep.retryAfter != "" {
		w.Header().Set("Retry-After", rep.retryAfter)
	}
	if rep.location != "" {
		w.Header().Set("Location", rep.location)
	}
	w.WriteHeader(cmp.Or(rep.status, 200))
	io.WriteString(w, rep.body)
}

// answers sets what the destination does.
func (d *destination) answers(f func(c call) reply) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = f
}

func (d *destination) always(status int) {
	d.answers(func(call) reply { return reply{status: status} })
}

// to returns the calls that one endpoint has had.
func (d *destination) to(name string) (cs []call) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.calls {
		if c.name == name {
			cs = append(cs, c)
		}
	}
	return cs
}

func (d *destination) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.calls)
}
