package receiver

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/seal"
)

func TestWhatIsWrongWithoutTheBodyIsRefusedBeforeIt(t *testing.T) {
	for name, edit := range map[string]func(h http.Header){
		"stale":                  func(h http.Header) { h.Set(headerTimestamp, "1600000000") },
		"from the future":        func(h http.Header) { h.Set(headerTimestamp, "9999999999") },
		"no timestamp":           func(h http.Header) { h.Del(headerTimestamp) },
		"a timestamp in words":   func(h http.Header) { h.Set(headerTimestamp, "today") },
		"no signature":           func(h http.Header) { h.Del(headerSignature) },
		"a signature cut short":  func(h http.Header) { h.Set(headerSignature, h.Get(headerSignature)[:40]) },
		"of an unknown version":  func(h http.Header) { h.Set(headerSignature, "v9=00") },
		"more than anyone signs": func(h http.Header) { h.Set(headerSignature, strings.Repeat("v1=00,", 1000)) },
	} {
		t.Run(name, func(t *testing.T) {
			b, body := newBench(t), &counter{}
			r := signed(t, "src_rivya", rivyaBody, start, rivyaSecret)
			edit(r.Header)
			r.Body, r.ContentLength = io.NopCloser(body), -1
			b.wantError(t, b.do(r), 401, relay.KindSignatureInvalid)
			if body.n != 0 {
				t.Errorf("%d bytes of the body were read first", body.n)
			}
		})
	}
}

// held starts a call over a real connection that never sends the last byte of
// its body, and waits until all the rest is in hand.
func held(t *testing.T, srv *httptest.Server, b *Bodies, r *http.Request, size int) net.Conn {
	t.Helper()
	b.mu.Lock()
	before := b.used
	b.mu.Unlock()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n", r.URL.Path, size)
	r.Header.Write(conn)
	io.WriteString(conn, "\r\n"+strings.Repeat(" ", size-1))
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		b.mu.Lock()
		used := b.used
		b.mu.Unlock()
		if used >= before+int64(size-1) {
			return conn
		}
	}
	t.Fatalf("the body of %d bytes never came to be in hand", size)
	return nil
}

func TestBodiesInHandAreBounded(t *testing.T) {
	const total = 16 * relay.MaxPayload
	b := newBench(t)
	bodies := b.bounded(total)
	for i := range 40 {
		src := b.sources["src_rivya"]
		src.ID = fmt.Sprintf("src_r%d", i)
		src.Secret = b.keys.Seal(rivyaSecret, seal.Place{Account: "acct_1", Object: src.ID, Field: seal.SigningSecret})
		b.sources[src.ID] = src
		src = b.sources["src_sivi"]
		src.ID = fmt.Sprintf("src_s%d", i)
		b.sources[src.ID] = src
	}
	srv := httptest.NewServer(b)
	t.Cleanup(srv.Close) // after the connections that are held
	zeros := func(source string) *http.Request {
		r := signed(t, source, rivyaBody, start, rivyaSecret)
		r.Header.Set(headerSignature, "v1="+strings.Repeat("0", 64))
		return r
	}
	size := relay.MaxPayload - 100

	// One source takes a sixteenth, and another is not held up by it.
	held(t, srv, bodies, zeros("src_r0"), size)
	if w := b.do(signed(t, "src_r0", rivyaBody, start, rivyaSecret)); w.Code != 503 || w.Header().Get("Retry-After") != "1" {
		t.Errorf("a second body of a source that has its share in hand: %d", w.Code)
	}
	wantAccepted(t, b.do(signed(t, "src_r1", rivyaBody, start, rivyaSecret)), "evt_1")

	// All that are not proved take half, and a proved one still comes through.
	for i := 1; i < 8; i++ {
		held(t, srv, bodies, zeros(fmt.Sprintf("src_r%d", i)), size)
	}
	if w := b.do(signed(t, "src_r9", rivyaBody, start, rivyaSecret)); w.Code != 503 {
		t.Errorf("an unproved body beyond the half: %d", w.Code)
	}
	if w := b.do(post(siviPath("src_s1", siviToken), siviBody)); w.Code != 200 {
		t.Errorf("a proved body while strangers have all of theirs in hand: %d %s", w.Code, w.Body)
	}
}

func TestRoomIsGivenBackHoweverACallEnds(t *testing.T) {
	b := newBench(t)
	bodies := b.bounded(64 * relay.MaxPayload)
	full := rivyaBody + strings.Repeat(" ", relay.MaxPayload)
	cut := signed(t, "src_rivya", rivyaBody, start, rivyaSecret)
	cut.Body = io.NopCloser(io.MultiReader(strings.NewReader(rivyaBody[:10]), errReader{}))
	for _, r := range []*http.Request{
		signed(t, "src_rivya", rivyaBody, start, rivyaSecret), signed(t, "src_rivya", rivyaBody, start, "whsec_another-secret"),
		signed(t, "src_rivya", full, start, rivyaSecret), signed(t, "src_rivya", "{", start, rivyaSecret), cut,
		post(siviPath("src_sivi", siviToken), siviBody), post(siviPath("src_sivi", siviToken), "{"), post("/in/src_sivi/x", siviBody),
	} {
		b.do(r)
		if bodies.used != 0 || bodies.unproved != 0 || len(bodies.bySource) != 0 {
			t.Errorf("%s: %d bytes are still in hand, %d of them unproved, by source %v", r.URL.Path, bodies.used, bodies.unproved, bodies.bySource)
		}
	}
}

func TestABodyThatDripsIsCutOff(t *testing.T) {
	b := newBench(t)
	srv := httptest.NewServer(b)
	t.Cleanup(srv.Close)
	for name, r := range map[string]*http.Request{
		"of a stranger":      signed(t, "src_rivya", rivyaBody, start, rivyaSecret),
		"of a proved caller": post(siviPath("src_sivi", siviToken), siviBody),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n", r.URL.Path)
			r.Header.Write(conn)
			io.WriteString(conn, "\r\n")
			stop := make(chan struct{})
			defer close(stop)
			go func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(50 * time.Millisecond):
						io.WriteString(conn, " ")
					}
				}
			}()
			conn.SetReadDeadline(time.Now().Add(15 * time.Second))
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal("it was left to drip: ", err)
			}
			if resp.StatusCode != 400 || !resp.Close {
				t.Errorf("got %d, close %t", resp.StatusCode, resp.Close)
			}
		})
	}
}

func TestIDsThatChangeInAHeaderOrPathAreRefused(t *testing.T) {
	for _, id := range []string{" x", "x ", " ", ".", "..", "", "a\tb", "é", strings.Repeat("x", 129)} {
		b := newBench(t)
		b.wantError(t, b.do(signed(t, "src_rivya", fmt.Sprintf(`{"id":%q,"type":"generation.succeeded"}`, id), start, rivyaSecret)), 400, relay.KindValidation)
	}
	for _, id := range []string{"x y", "...", ".x", "a/b", "a,b", strings.Repeat("x", 128)} {
		b := newBench(t)
		r := signed(t, "src_rivya", fmt.Sprintf(`{"id":%q,"type":"generation.succeeded"}`, id), start, rivyaSecret)
		r.Header.Set(headerID, id)
		wantAccepted(t, b.do(r), id)
	}
}

func TestAProviderCannotMakeEventsOfOurs(t *testing.T) {
	for typ, status := range map[string]int{
		"endpoint.disabled": 400, "endpoint.recovered": 400, "endpoint.x": 400, "webhook.deleted": 400, "webhook.test.x": 400,
		"webhook.test": 200, "generation.anything": 200, "order.paid": 200, "endpoints.x": 200,
	} {
		b := newBench(t)
		if w := b.do(signed(t, "src_rivya", fmt.Sprintf(`{"id":"evt_1","type":%q}`, typ), start, rivyaSecret)); w.Code != status {
			t.Errorf("%s: %d, want %d", typ, w.Code, status)
		}
	}
}
