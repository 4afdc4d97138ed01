package egress

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hookferry/shared/relay"
)

// A talker is a server of HTTP by hand: it is told of each request on a
// connection, with how many came on that one before, and writes what it likes.
// It ends the connection when it returns false.
func talker(t *testing.T, requests *atomic.Int32, reply func(w net.Conn, body string, before int) bool) string {
	t.Helper()
	addr := rawServer(t, func(c net.Conn) {
		br := bufio.NewReader(c)
		for before := 0; ; before++ {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			body, err := io.ReadAll(req.Body)
			if err != nil {
				return
			}
			requests.Add(1)
			if !reply(c, string(body), before) {
				return
			}
		}
	})
	return "http://" + addr.String() + "/"
}

func ok(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func TestACallWritesAtMostTwoRequestsHoweverManyConnectionsAreKept(t *testing.T) {
	const kept = 32
	for name, end := range map[string]func(c net.Conn) bool{
		"closes without an answer": func(net.Conn) bool { return false },
		"resets": func(c net.Conn) bool {
			c.(*net.TCPConn).SetLinger(0)
			return false
		},
		"half closes and waits": func(c net.Conn) bool {
			c.(*net.TCPConn).CloseWrite()
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int32
			var together sync.WaitGroup
			together.Add(kept)
			url := talker(t, &requests, func(c net.Conn, body string, _ int) bool {
				if body == "x" { // to fill the pool, all at once
					together.Done()
					together.Wait()
					io.WriteString(c, ok(""))
					return true
				}
				return end(c)
			})
			c := New(Config{Policy: Policy{AllowPrivate: true}, Timeout: 5 * time.Second})
			t.Cleanup(c.CloseIdle)
			concurrently(t, c, url, kept)
			requests.Store(0)
			_, _, err := post(t, c, url, "second")
			if code, _ := Classify(err); code != relay.CodeConnectionFailed {
				t.Errorf("got %v", err)
			}
			if n := requests.Load(); n != 2 {
				t.Errorf("%d requests for one call, want 2: one on a kept connection, one on a new one", n)
			}
		})
	}
}

func TestAPartOfAnAnswerIsNotRepeated(t *testing.T) {
	for _, part := range []string{"H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n"} {
		var requests atomic.Int32
		url := talker(t, &requests, func(c net.Conn, body string, _ int) bool {
			if body == "first" {
				io.WriteString(c, ok(""))
				return true
			}
			io.WriteString(c, part)
			return false
		})
		c := New(Config{Policy: Policy{AllowPrivate: true}})
		if _, _, err := post(t, c, url, "first"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := post(t, c, url, "second"); err == nil {
			t.Errorf("%q: no error", part)
		}
		if n := requests.Load(); n != 2 {
			t.Errorf("%q: %d requests for two calls", part, n)
		}
	}
}

// A strayTalker says 200 only to what it takes, and writes a stray 200 besides,
// as often as it likes. It notes when it had written each stray one.
type strayTalker struct {
	mu      sync.Mutex
	written map[string]time.Time // by the client's address
}

const stray = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"

func (s *strayTalker) write(c net.Conn, parts ...string) {
	for _, part := range parts {
		io.WriteString(c, part)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written[c.RemoteAddr().String()] = time.Now()
}

// A notingConn notes when each request begins to be written, and from where.
type notingConn struct {
	*net.TCPConn
	note func(from string, request []byte, at time.Time)
}

func (c notingConn) Write(b []byte) (int, error) {
	c.note(c.LocalAddr().String(), b, time.Now())
	return c.TCPConn.Write(b)
}

// No answer that was on the wire before a request was written is taken for that
// request's.
func TestNoStrayAnswerIsTakenForARequests(t *testing.T) {
	calls := 100_000
	if testing.Short() {
		calls = 5_000
	}
	refuse := "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
	after := func(first string, rest ...string) func(s *strayTalker, c net.Conn, body string, before int) bool {
		return func(s *strayTalker, c net.Conn, body string, before int) bool {
			if before > 0 {
				io.WriteString(c, refuse)
				return true
			}
			s.write(c, append([]string{strings.ReplaceAll(first, "BODY", ok(body))}, rest...)...)
			return true
		}
	}
	for name, reply := range map[string]func(s *strayTalker, c net.Conn, body string, before int) bool{
		"one more answer in the segment of a refusal": func(s *strayTalker, c net.Conn, _ string, _ int) bool {
			s.write(c, refuse+stray)
			return true
		},
		"one more answer in the segment of an answer": after("BODY" + stray),
		"one more answer right behind":                after("BODY", stray),
		"many more answers":                           after("BODY"+stray+stray, stray, stray),
		"blank lines and one more answer":             after("BODY\r\n\r\n", stray),
	} {
		t.Run(name, func(t *testing.T) {
			s := &strayTalker{written: map[string]time.Time{}}
			var requests atomic.Int32
			url := talker(t, &requests, func(c net.Conn, body string, before int) bool { return reply(s, c, body, before) })
			c := New(Config{Policy: Policy{AllowPrivate: true}})
			t.Cleanup(c.CloseIdle)
			type origin struct {
				from string
				at   time.Time
			}
			var mu sync.Mutex
			origins := map[string]origin{}
			var d net.Dialer
			c.dialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := d.DialContext(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				return notingConn{conn.(*net.TCPConn), func(from string, request []byte, at time.Time) {
					_, id, _ := strings.Cut(string(request), "\r\n\r\n")
					mu.Lock()
					defer mu.Unlock()
					origins[id] = origin{from, at}
				}}, nil
			}
			each := calls / 5 / 12
			var wrong, late atomic.Int32
			var wg sync.WaitGroup
			for w := range 12 {
				wg.Go(func() {
					for i := range each {
						id := fmt.Sprintf("%d-%d", w, i)
						status, got, err := exchangeOnce(t.Context(), c, url, id)
						switch {
						case err == nil && (status != 200 || got == id):
							continue
						case err == nil && got == "stray":
							mu.Lock()
							o := origins[id]
							mu.Unlock()
							s.mu.Lock()
							written, there := s.written[o.from]
							s.mu.Unlock()
							if !there || o.at.Before(written) {
								late.Add(1) // nobody can tell it from an answer
								continue
							}
						}
						wrong.Add(1)
					}
				})
			}
			wg.Wait()
			if n := wrong.Load(); n > 0 {
				t.Errorf("%d of %d calls failed, or took a stray answer for their own", n, 12*each)
			}
			t.Logf("%d calls, %d of them met a stray answer that was written after them", 12*each, late.Load())
		})
	}
}

func exchangeOnce(ctx context.Context, c *Client, url, body string) (status int, answer string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func TestAServerThatSpeaksFirstIsNotBelieved(t *testing.T) {
	for _, early := range []string{ok(""), "220 hello\r\n", "H"} {
		spoken := make(chan struct{}, 1)
		addr := rawServer(t, func(c net.Conn) {
			io.WriteString(c, early)
			spoken <- struct{}{}
			hang(c)
		})
		c := New(Config{Policy: Policy{AllowPrivate: true}})
		var d net.Dialer
		c.dialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			conn, err := d.DialContext(ctx, network, addr.String())
			<-spoken
			return conn, err
		}
		_, _, err := post(t, c, "http://"+addr.String()+"/", "x")
		if !errors.Is(err, errEarly) {
			t.Errorf("%q: got %v", early, err)
		}
	}
}

func TestNoConnectionIsSharedByTwoOwners(t *testing.T) {
	srv, conns := countingServer(t, true, echo)
	c := New(Config{Policy: Policy{AllowPrivate: true}, RootCAs: rootsOf(srv)})
	for range 5 {
		for _, owner := range []string{"", "acct_1", "acct_2"} {
			if _, _, err := exchangeOnce(WithOwner(t.Context(), owner), c, srv.URL, "x"); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * settle)
	}
	if n := conns.Load(); n != 3 {
		t.Errorf("three owners' calls took %d connections, want 3", n)
	}
}

// What the server judges after its answer's head is not worth a connection.
func TestOnlyAFullyReadSuccessKeepsTheConnection(t *testing.T) {
	long := strings.Repeat("y", 64<<10)
	for name, c := range map[string]struct {
		answer string
		kept   bool
	}{
		"success":                     {ok("fine"), true},
		"success without a body":      {"HTTP/1.1 204 No Content\r\n\r\n", true},
		"chunked":                     {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true},
		"refused":                     {"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", false},
		"moved":                       {"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /\r\n\r\n", false},
		"closes":                      {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", false},
		"of the old protocol":         {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false},
		"longer than the caller read": {ok(long), false},
	} {
		t.Run(name, func(t *testing.T) {
			var requests, conns atomic.Int32
			url := talker(t, &requests, func(w net.Conn, _ string, before int) bool {
				if before == 0 {
					conns.Add(1)
				}
				io.WriteString(w, c.answer)
				return true
			})
			client := New(Config{Policy: Policy{AllowPrivate: true}})
			t.Cleanup(client.CloseIdle)
			for range 2 {
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader([]byte("x")))
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, io.LimitReader(resp.Body, 16<<10))
				resp.Body.Close()
				time.Sleep(2 * settle)
			}
			if kept := conns.Load() == 1; kept != c.kept {
				t.Errorf("two calls took %d connections", conns.Load())
			}
		})
	}
}
