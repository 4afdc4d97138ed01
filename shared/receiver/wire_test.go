package receiver

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"hookferry/shared/relay"
)

// TestAnOversizedBodyIsAnsweredWhileItIsStillBeingSent calls over a real
// connection and sends no more than the first bytes: a receiver that waited for
// the rest would never answer.
func TestAnOversizedBodyIsAnsweredWhileItIsStillBeingSent(t *testing.T) {
	b := newBench(t)
	srv := httptest.NewServer(b)
	defer srv.Close()
	for name, c := range map[string]struct {
		head, first string
		status      int
	}{
		"declared":         {fmt.Sprintf("Content-Length: %d\r\n", relay.MaxPayload+1), "x", 413},
		"chunked":          {"Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s\r\n", relay.MaxPayload+1, strings.Repeat("x", relay.MaxPayload+1)), 413},
		"expects continue": {"Content-Length: 1000\r\nExpect: 100-continue\r\n", "", 404},
	} {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		path := siviPath("src_sivi", siviToken)
		if c.status == 404 {
			path = "/in/src_unknown"
		}
		go fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\n%s\r\n%s", path, c.head, c.first)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if resp.StatusCode != c.status {
			t.Errorf("%s: got %d, want %d", name, resp.StatusCode, c.status)
		}
	}
}

func TestManyCallsAtOnceAreEachQueuedOnce(t *testing.T) {
	b := newBench(t)
	srv := httptest.NewServer(b)
	defer srv.Close()
	const calls = 200
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() {
			body := fmt.Sprintf(`{"id":"evt_%d","type":"generation.succeeded"}`, i)
			r := signed(t, "src_rivya", body, start, rivyaSecret)
			r.Header.Del(headerID)
			req, err := http.NewRequest("POST", srv.URL+r.URL.Path, strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header = r.Header
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if answer, err := io.ReadAll(resp.Body); err != nil || string(answer) != fmt.Sprintf(`{"received":true,"id":"evt_%d"}`, i) {
				t.Errorf("got %s, %v", answer, err)
			}
		})
	}
	wg.Wait()
	ids := map[string]int{}
	for _, ev := range b.events(t) {
		ids[ev.ID]++
	}
	if len(ids) != calls || len(b.sent) != calls {
		t.Errorf("%d events under %d ids, want %d", len(b.sent), len(ids), calls)
	}
}

// discard is a response that keeps nothing.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// sized returns a body of about n bytes that does not deflate well.
func sized(n int) string {
	rnd := rand.New(rand.NewPCG(1, 2))
	var sb strings.Builder
	sb.WriteString(`{"id":"evt_1","type":"generation.succeeded","x":"`)
	for sb.Len() < n-2 {
		sb.WriteByte("abcdefghijklmnopqrstuvwxyz0123456789-/"[rnd.IntN(38)])
	}
	sb.WriteString(`"}`)
	return sb.String()
}

func benchmarkCalls(b *testing.B, body string, secret relay.Secret) {
	bench := newBench(b)
	h := New(Config{Sources: bench, Events: bench, Keys: bench.keys, Now: func() time.Time { return start }})
	r := signed(b, "src_rivya", body, start, secret)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		r.Body = io.NopCloser(strings.NewReader(body))
		h.ServeHTTP(discard{http.Header{}}, r)
		bench.sent, bench.lookups = bench.sent[:0], bench.lookups[:0]
	}
}

func BenchmarkAccept1K(b *testing.B)   { benchmarkCalls(b, sized(1<<10), rivyaSecret) }
func BenchmarkAccept256K(b *testing.B) { benchmarkCalls(b, sized(relay.MaxPayload), rivyaSecret) }
func BenchmarkRefuse1K(b *testing.B)   { benchmarkCalls(b, sized(1<<10), oldSecret) }

func BenchmarkAcceptSivi(b *testing.B) {
	bench := newBench(b)
	h := New(Config{Sources: bench, Events: bench, Keys: bench.keys, Now: func() time.Time { return start }})
	r := post(siviPath("src_sivi", siviToken), siviBody)
	b.ReportAllocs()
	for b.Loop() {
		r.Body = io.NopCloser(strings.NewReader(siviBody))
		h.ServeHTTP(discard{http.Header{}}, r)
		bench.sent, bench.lookups = bench.sent[:0], bench.lookups[:0]
	}
}
