package functions

import (
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A post is a call that a destination got.
type post struct {
	at     time.Time
	path   string
	header http.Header
	body   string
}

func (p post) event() string { return p.header.Get("Rivya-Webhook-Id") }

// A destination takes deliveries over TLS and answers as it is told.
type destination struct {
	*httptest.Server
	connections atomic.Int32
	answer      func(n int, p post) int // n counts from 1; nil: 200

	mu  sync.Mutex
	got []post
}

func newDestination(tb testing.TB, answer func(n int, p post) int) *destination {
	tb.Helper()
	d := &destination{answer: answer}
	d.Server = httptest.NewUnstartedServer(d)
	d.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			d.connections.Add(1)
		}
	}
	d.Config.ErrorLog = log.New(io.Discard, "", 0) // killed functions do not end their handshakes
	d.StartTLS()
	tb.Cleanup(func() {
		d.CloseClientConnections()
		d.Close()
	})
	return d
}

func (d *destination) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p := post{time.Now(), r.URL.Path, r.Header, string(body)}
	d.mu.Lock()
	d.got = append(d.got, p)
	n := len(d.got)
	d.mu.Unlock()
	status := 200
	if d.answer != nil {
		status = d.answer(n, p)
	}
	w.WriteHeader(status)
}

// posts returns what came, of one event or, with an empty id, of all.
func (d *destination) posts(event string) (of []post) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.got {
		if event == "" || p.event() == event {
			of = append(of, p)
		}
	}
	return of
}

// certificate writes the certificate of httptest's servers to a file, for
// SSL_CERT_FILE.
func certificate(tb testing.TB) string {
	tb.Helper()
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	path := filepath.Join(tb.TempDir(), "roots.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}
