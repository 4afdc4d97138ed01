package egress

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hookferry/shared/relay"
)

func TestConnectionsAreKeptForTheNextCall(t *testing.T) {
	srv, conns := countingServer(t, true, echo)
	c := New(Config{Policy: Policy{AllowPrivate: true}, RootCAs: rootsOf(srv)})
	for i := range 20 {
		if _, _, err := post(t, c, srv.URL, "x"); err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("20 calls took %d connections, want 1", n)
	}
}

// concurrently makes n calls that are all in flight at once.
func concurrently(t *testing.T, c *Client, url string, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if _, _, err := post(t, c, url, "x"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestABurstKeepsItsConnections(t *testing.T) {
	const n = 32
	var waiting atomic.Int32
	release := make(chan struct{}, 2*n)
	srv, conns := countingServer(t, false, func(w http.ResponseWriter, _ *http.Request) {
		if waiting.Add(1)%n == 0 {
			for range n {
				release <- struct{}{}
			}
		}
		<-release
	})
	c := New(Config{Policy: Policy{AllowPrivate: true}})
	concurrently(t, c, srv.URL, n)
	concurrently(t, c, srv.URL, n)
	if got := conns.Load(); got != n {
		t.Errorf("two bursts of %d took %d connections", n, got)
	}
}

func TestConnectionsAreReplacedWhenOldOrFrozen(t *testing.T) {
	srv, conns := countingServer(t, false, echo)
	clock := time.Date(2026, 5, 11, 0, 0, 0, 0, time.UTC)
	c := New(Config{Policy: Policy{AllowPrivate: true}, Now: func() time.Time { return clock }})
	call := func(wantConns int32, why string) {
		t.Helper()
		if _, _, err := post(t, c, srv.URL, "x"); err != nil {
			t.Fatalf("%s: %v", why, err)
		}
		if got := conns.Load(); got != wantConns {
			t.Errorf("%s: %d connections so far, want %d", why, got, wantConns)
		}
	}
	c.Thaw(clock)
	call(1, "first")
	clock = clock.Add(5 * time.Second)
	c.Thaw(clock)
	call(1, "an invocation 5 s later")
	clock = clock.Add(5*time.Second + time.Millisecond)
	c.Thaw(clock)
	call(2, "an invocation more than 5 s later")
	for range 5 {
		clock = clock.Add(9 * time.Second) // a busy invocation: no Thaw
		call(2, "within the age")
	}
	clock = clock.Add(15 * time.Second)
	call(3, "60 s after it was made")
	c.CloseIdle()
	call(4, "after CloseIdle")
	clock = clock.Add(-time.Hour)
	call(5, "after the clock was set back")
}

func TestABusyConnectionIsNotKeptPastItsAge(t *testing.T) {
	reached, release := make(chan struct{}), make(chan struct{})
	closed := make(chan struct{}, 8)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(reached)
			<-release
		}
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			closed <- struct{}{}
		}
	}
	srv.Start()
	defer srv.Close()
	var mu sync.Mutex
	clock := time.Date(2026, 5, 11, 0, 0, 0, 0, time.UTC)
	c := New(Config{Policy: Policy{AllowPrivate: true}, Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return clock
	}})
	done := make(chan error)
	go func() {
		_, _, err := post(t, c, srv.URL+"/slow", "x")
		done <- err
	}()
	<-reached
	mu.Lock()
	clock = clock.Add(time.Minute)
	mu.Unlock()
	if _, _, err := post(t, c, srv.URL+"/fast", "x"); err != nil {
		t.Fatal(err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Fatalf("the call that was under way: %v", err)
	}
	select {
	case <-closed:
	case <-time.After(5 * time.Second):
		t.Error("the old connection is still open")
	}
}

// mortalServer answers each connection's first request, and on the next one
// closes without an answer, as if it had died while we were frozen. It returns
// its URL and what it received.
func mortalServer(t *testing.T) (string, func() []string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var bodies []string
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				buf := make([]byte, 4096)
				for range 2 {
					n, err := conn.Read(buf)
					if err != nil {
						return
					}
					mu.Lock()
					first := len(bodies) == 0 || !bytes.Contains(buf[:n], []byte("second"))
					bodies = append(bodies, string(buf[:n]))
					again := len(bodies) > 2
					mu.Unlock()
					if !first && !again {
						return
					}
					io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return "http://" + ln.Addr().String() + "/", func() []string {
		mu.Lock()
		defer mu.Unlock()
		return bodies
	}
}

func TestARequestIsRepeatedOnADeadConnection(t *testing.T) {
	url, received := mortalServer(t)
	c := New(Config{Policy: Policy{AllowPrivate: true}})
	t.Cleanup(c.CloseIdle)
	if _, _, err := post(t, c, url, "first"); err != nil {
		t.Fatal(err)
	}
	_, got, err := post(t, c, url, "second body")
	if err != nil || got != "ok" {
		t.Fatalf("got %q, %v", got, err)
	}
	all := received()
	if len(all) != 3 {
		t.Fatalf("the server got %d requests, want 3", len(all))
	}
	for _, r := range all[1:] {
		if !strings.HasSuffix(r, "\r\n\r\nsecond body") || strings.Contains(r, "Idempotency") {
			t.Errorf("the server got %q", r)
		}
	}
}

func TestARequestThatCannotBeRepeatedFails(t *testing.T) {
	url, _ := mortalServer(t)
	c := New(Config{Policy: Policy{AllowPrivate: true}})
	t.Cleanup(c.CloseIdle)
	if _, _, err := post(t, c, url, "first"); err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("second body"))
	req.GetBody = nil
	_, err := c.Do(req)
	if code, msg := Classify(err); code != relay.CodeConnectionFailed || msg == "" {
		t.Errorf("got %v, %s, %s", err, code, msg)
	}
}
