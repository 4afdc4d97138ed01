package audit_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/audit"
	"hookferry/shared/relay"
	"hookferry/shared/verify/verifytest"
)

func run(t *testing.T, c audit.Config) audit.Report {
	t.Helper()
	report, err := audit.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func failed(r audit.Report) []string {
	var names []string
	for _, result := range r.Results {
		if !result.OK {
			names = append(names, result.Name)
		}
	}
	return names
}

func TestEachVerifierPassesTheAudit(t *testing.T) {
	for _, language := range verifytest.Languages {
		for _, standard := range []bool{false, true} {
			name := map[bool]string{false: "rivya", true: "standard"}[standard]
			t.Run(language+"/"+name, func(t *testing.T) {
				secret := relay.NewSigningSecret()
				url := verifytest.Start(t, language, standard, relay.NewSigningSecret().Reveal(), secret.Reveal())
				report := run(t, audit.Config{URL: url, Secret: secret, Standard: standard})
				for _, r := range report.Results {
					if !r.OK {
						t.Errorf("%s: want %s, got %d %s", r.Name, r.Want, r.Status, r.Error)
					}
				}
				if len(report.Results) < 18 {
					t.Errorf("only %d calls", len(report.Results))
				}
			})
		}
	}
}

// A broken receiver, in the ways in which real ones are.
type broken struct {
	reencode, anyTime, firstOnly, unsignedPasses, noTimestamp, unbounded, redirects bool
	express                                                                         bool
}

func (b broken) handler(secret relay.Secret) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b.express {
			w.Header().Set("X-Powered-By", "Express")
		}
		if b.redirects {
			http.Redirect(w, r, "/elsewhere", http.StatusPermanentRedirect)
			return
		}
		if r.Method != http.MethodPost {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		body, _ := io.ReadAll(r.Body)
		if len(body) > 1<<20 && !b.unbounded {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		if b.reencode {
			var again bytes.Buffer
			if json.Compact(&again, body) != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			body = again.Bytes()
		}
		if b.right(secret, r.Header, body) {
			w.WriteHeader(http.StatusOK)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
	})
}

func (b broken) right(secret relay.Secret, h http.Header, body []byte) bool {
	stamp, header := h.Get("Rivya-Webhook-Timestamp"), h.Get("Rivya-Webhook-Signature")
	if header == "" && b.unsignedPasses {
		return true
	}
	at, _ := time.Parse("2006", "1970")
	if d, err := time.ParseDuration(stamp + "s"); err == nil {
		at = at.Add(d)
	}
	if age := time.Since(at); !b.anyTime && age.Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret.Reveal()))
	if !b.noTimestamp {
		mac.Write([]byte(stamp + "."))
	}
	mac.Write(body)
	want := "v1=" + hex.EncodeToString(mac.Sum(nil))
	parts := strings.Split(header, ",")
	if b.firstOnly {
		return parts[0] == want
	}
	return slices.Contains(parts, want)
}

func TestEachBrokenReceiverFailsInItsWay(t *testing.T) {
	for _, tt := range []struct {
		name   string
		broken broken
		want   []string
		advice string
	}{
		{"sound", broken{}, nil, ""},
		{"no age", broken{anyTime: true}, []string{"stale", "future"}, "played back"},
		{"first signature only", broken{firstOnly: true}, []string{"rotated", "newer-version"}, "two signatures"},
		{"unsigned passes", broken{unsignedPasses: true}, []string{"unsigned"}, "carries no signature"},
		{"unbounded", broken{unbounded: true}, []string{"oversized"}, "1 MiB"},
		{"Express that parses first", broken{reencode: true, express: true}, []string{"written-oddly", "re-encoded"}, "express.raw"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			secret := relay.NewSigningSecret()
			server := httptest.NewServer(tt.broken.handler(secret))
			defer server.Close()
			report := run(t, audit.Config{URL: server.URL, Secret: secret})
			if diff := cmp.Diff(tt.want, failed(report)); diff != "" {
				t.Error(diff)
			}
			all := ""
			for _, r := range report.Results {
				if r.OK != (r.Advice == "") {
					t.Errorf("%s: ok %v with advice %q", r.Name, r.OK, r.Advice)
				}
				all += r.Advice
			}
			if !strings.Contains(all, tt.advice) {
				t.Errorf("no word of %q in %s", tt.advice, all)
			}
		})
	}
}

func TestAReceiverThatTakesEverythingFailsEveryRefusal(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer server.Close()
	for _, r := range run(t, audit.Config{URL: server.URL, Secret: relay.NewSigningSecret()}).Results {
		if r.OK != (r.Want == "accept") {
			t.Errorf("%s: ok %v", r.Name, r.OK)
		}
	}
}

func TestWhatIsNoRefusalIsNoneOfTheReceivers(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"redirect":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) },
		"falls over": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"hangs up":   func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			report := run(t, audit.Config{URL: server.URL, Secret: relay.NewSigningSecret()})
			for _, r := range report.Results {
				if r.OK && r.Name != "oversized" {
					t.Errorf("%s counts as right: %d %s", r.Name, r.Status, r.Error)
				}
			}
		})
	}
}

func TestBadSettingsAreNamed(t *testing.T) {
	good := relay.NewSigningSecret()
	for want, c := range map[string]audit.Config{
		"url:":    {URL: "example.com/hook", Secret: good},
		"secret:": {URL: "http://127.0.0.1:1/", Secret: ""},
	} {
		if _, err := audit.Run(t.Context(), c); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("want %q first, got %v", want, err)
		}
	}
	// A secret that only Rivya's way can use.
	_, err := audit.Run(t.Context(), audit.Config{URL: "http://127.0.0.1:1/", Secret: "plain text secret", Standard: true})
	if err == nil || strings.Contains(err.Error(), "plain text") {
		t.Errorf("got %v", err)
	}
}

func TestAnUnreachableReceiverIsAReport(t *testing.T) {
	report := run(t, audit.Config{URL: "http://127.0.0.1:1/tok_secret", Secret: relay.NewSigningSecret()})
	if report.Failed() != len(report.Results) {
		t.Errorf("%d of %d failed", report.Failed(), len(report.Results))
	}
	for _, r := range report.Results {
		if strings.Contains(r.Error, "tok_secret") {
			t.Errorf("the URL is in the report: %s", r.Error)
		}
	}
}
