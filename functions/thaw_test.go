package functions

import (
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hookferry/shared/bounds"
	"hookferry/shared/relay"
)

// How a connection is lost.
type loss int

const (
	byReset  loss = iota // at once
	byTouch              // reset once something is sent on it, as a forgotten one is
	silently             // what is sent on it is neither answered nor refused
)

// A wire carries TCP connections to a server and can lose them.
type wire struct {
	addr string

	mu    sync.Mutex
	links []*link
	n     int
}

// A link is one connection: the function's side and the server's.
type link struct {
	near, far net.Conn
	lost      chan struct{}
	how       loss // set before lost is closed
}

func newWire(tb testing.TB, target string) *wire {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	w := &wire{addr: ln.Addr().String()}
	tb.Cleanup(func() {
		ln.Close()
		w.lose(byReset)
	})
	go func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target)
			if err != nil {
				near.Close()
				continue
			}
			l := &link{near: near, far: far, lost: make(chan struct{})}
			w.mu.Lock()
			w.links, w.n = append(w.links, l), w.n+1
			w.mu.Unlock()
			go l.carry(far, near)
			go l.carry(near, far)
		}
	}()
	return w
}

// carry copies until an end closes or the connection is lost.
func (l *link) carry(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		select {
		case <-l.lost:
			if from == l.far {
				return
			}
			if n > 0 && l.how == byTouch {
				l.reset()
			}
			if err != nil {
				return
			}
			continue
		default:
		}
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				err = werr
			}
		}
		if err != nil {
			l.near.Close()
			l.far.Close()
			return
		}
	}
}

func (l *link) reset() {
	if tcp, ok := l.near.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	l.near.Close()
}

// lose ends every connection there is, and returns how many there were.
func (w *wire) lose(how loss) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.links {
		l.how = how
		close(l.lost)
		if how == byReset {
			l.reset()
		}
	}
	n := len(w.links)
	w.links = nil
	return n
}

func (w *wire) opened() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

// TestAThawedInstanceWhosePooledConnectionsDiedSucceedsAtOnce: its connections
// to DynamoDB, SQS and the destination are gone when it goes on. After a short
// freeze it notices when it uses them; where nothing comes back at all, it asks
// again on a fresh one after the time of one answer.
func TestAThawedInstanceWhosePooledConnectionsDiedSucceedsAtOnce(t *testing.T) {
	for _, c := range []struct {
		name   string
		frozen time.Duration
		how    loss
	}{
		{"reset, frozen for 300 ms", 300 * time.Millisecond, byReset},
		{"forgotten, frozen for 300 ms", 300 * time.Millisecond, byTouch},
		{"silent, frozen for 6 s", 6 * time.Second, silently},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			dest := newDestination(t, nil)
			wires := map[string]*wire{
				"DynamoDB":    newWire(t, strings.TrimPrefix(s.dynamoURL, "http://")),
				"SQS":         newWire(t, strings.TrimPrefix(s.sqsURL, "http://")),
				"destination": newWire(t, dest.Listener.Addr().String()),
			}
			s.dispatcher = startLoopback(t, "dispatcher", append(s.env,
				"AWS_ENDPOINT_URL_DYNAMODB=http://"+wires["DynamoDB"].addr, "AWS_ENDPOINT_URL_SQS=http://"+wires["SQS"].addr))
			s.endpoint(t, "fails", "https://"+wires["destination"].addr+"/fails", "generation.failed")
			s.endpoint(t, "works", "https://"+wires["destination"].addr+"/works", "generation.succeeded")
			dest.answer = func(_ int, p post) int {
				if p.path == "/fails" {
					return 500
				}
				return 200
			}
			s.publish(t, "generation.failed", "evt_warm_sqs") // its retry is a message to SQS
			s.accept(t, "evt_warm")
			s.until(t, 10*time.Second, func() string { return s.is(t, "delivered", "evt_warm") })
			s.drain(t, 20*time.Second)
			before := map[string]int{}
			for name, w := range wires {
				if before[name] = w.opened(); before[name] == 0 {
					t.Fatalf("no connection to %s was open", name)
				}
			}

			s.accept(t, "evt_after")
			batch := s.receive(t, s.urls.Events, time.Second, time.Minute)
			if err := s.dispatcher.process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			lost := 0
			for _, w := range wires {
				lost += w.lose(c.how)
			}
			if lost < len(wires) {
				t.Fatalf("only %d connections were lost", lost)
			}
			time.Sleep(c.frozen)
			if err := s.dispatcher.process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			out := s.dispatcher.invoke(t, batch, s.invocation)
			took := time.Since(began)
			if failed := s.finish(t, s.urls.Events, batch, out); out.failed || len(failed) > 0 || len(batch.Records) != 1 {
				t.Fatalf("got %s for %d messages", out.payload, len(batch.Records))
			}
			if as := s.attempts(t, "evt_after"); len(as) != 1 || as[0].Status != relay.AttemptSucceeded || as[0].Number != 1 {
				t.Errorf("on record: %+v", as)
			}
			if n := len(dest.posts("evt_after")); n != 1 {
				t.Errorf("%d calls, want 1", n)
			}
			// A connection that died in silence costs one answer's time at each of the
			// table's two questions: that is the net, and it is far below a call's limit.
			if took > 2*(bounds.Answer+bounds.Backoff)+3*time.Second {
				t.Errorf("the invocation took %v: something waited for a dead connection", took)
			}
			// It really had to connect again.
			for _, name := range []string{"DynamoDB", "destination"} {
				if n := wires[name].opened(); n <= before[name] {
					t.Errorf("%d connections to %s, %d before the freeze", n, name, before[name])
				}
			}
			// And SQS: a retry is sent at once too.
			s.publish(t, "generation.failed", "evt_after_sqs")
			if got, failed := s.pump(t); got == 0 || failed > 0 {
				t.Errorf("%d of %d messages failed", failed, got)
			}
			t.Logf("measured: the first invocation after the freeze took %v", took.Round(time.Millisecond))
		})
	}
}
