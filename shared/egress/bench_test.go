package egress

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func BenchmarkCheckURL(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if err := (Policy{}).CheckURL("https://hooks.example.com/rivya/webhook?tenant=42"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckAddr(b *testing.B) {
	b.ReportAllocs()
	addr := netip.MustParseAddr("2606:4700:4700::1111")
	for b.Loop() {
		if err := (Policy{}).CheckAddr(addr); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDo is a call on a kept connection, the server's side included;
// BenchmarkBare the same by a bare http.Client, to compare with.
func BenchmarkDo(b *testing.B) {
	benchmarkCalls(b, New(Config{Policy: Policy{AllowPrivate: true}}).Do)
}

func BenchmarkBare(b *testing.B) {
	benchmarkCalls(b, (&http.Client{Transport: &http.Transport{}}).Do)
}

func benchmarkCalls(b *testing.B, do func(*http.Request) (*http.Response, error)) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	defer srv.Close()
	body := strings.Repeat("x", 1024)
	b.ReportAllocs()
	for b.Loop() {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, srv.URL, strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		resp, err := do(req)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}
