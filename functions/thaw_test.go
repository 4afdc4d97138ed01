package functions

import (
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hookferry/shared/relay"
)

// A wire carries TCP connections to a server and can lose them.
type wire struct {
	addr string

	mu    sync.Mutex
	conns []net.Conn // of the function's side
	cut   []chan struct{}
	n     int
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
		w.lose(true)
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
			dead := make(chan struct{})
			w.mu.Lock()
			w.conns, w.cut, w.n = append(w.conns, near), append(w.cut, dead), w.n+1
			w.mu.Unlock()
			go w.carry(far, near, far, near, dead)
			go w.carry(near, far, far, near, dead)
		}
	}()
	return w
}

// carry copies until an end closes, or the wire is dead: then bytes vanish, and
// nobody is told.
func (w *wire) carry(to io.Writer, from io.Reader, far, near net.Conn, dead chan struct{}) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		select {
		case <-dead:
			if from == io.Reader(far) || err != nil {
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
			near.Close()
			far.Close()
			return
		}
	}
}

// lose ends every connection there is: with a reset, or, silently, so that what
// is sent on it is neither answered nor refused. It returns how many there were.
func (w *wire) lose(reset bool) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, c := range w.conns {
		close(w.cut[i])
		if tcp, ok := c.(*net.TCPConn); ok && reset {
			tcp.SetLinger(0)
			tcp.Close()
		}
	}
	n := len(w.conns)
	w.conns, w.cut = nil, nil
	return n
}

func (w *wire) opened() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

// TestAThawedInstanceWhosePooledConnectionsDiedSucceedsAtOnce: its connections
// to DynamoDB, SQS and the destination are gone when it goes on. A short freeze
// must survive resets; a long one also connections that fell silent.
func TestAThawedInstanceWhosePooledConnectionsDiedSucceedsAtOnce(t *testing.T) {
	for _, c := range []struct {
		name   string
		frozen time.Duration
		reset  bool
	}{
		{"reset, frozen for 300 ms", 300 * time.Millisecond, true},
		{"silent, frozen for 6 s", 6 * time.Second, false},
		{"reset, frozen for 6 s", 6 * time.Second, true},
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
				lost += w.lose(c.reset)
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
			if took > 1900*time.Millisecond {
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
