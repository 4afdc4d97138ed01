package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

// A listener takes deliveries, shows each, and answers as it is told.
type listener struct {
	view      view
	prefix    string
	secrets   []relay.Secret
	respond   []int // statuses in turn, the last for all that follow
	delay     time.Duration
	forward   *forwarder // nil: answers by itself
	stopAfter int        // 0: never

	mu   sync.Mutex
	seen int
	done chan struct{}
}

// A received is one delivery as it came.
type received struct {
	at           time.Time
	method, path string
	header       http.Header
	body         []byte
	typ          string // of the event, where the body does not say
	unsigned     bool   // it was made here, without a secret
}

// ServeHTTP takes one delivery.
func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2*relay.MaxPayload))
	if err != nil {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	l.take(r.Context(), &received{at: now, method: r.Method, path: r.URL.RequestURI(), header: r.Header, body: body}, w)
}

// take handles one delivery: it is sent on if that is wanted, answered, and shown.
// It reports whether it was the last one.
func (l *listener) take(ctx context.Context, r *received, w http.ResponseWriter) (last bool) {
	l.mu.Lock()
	status := http.StatusOK
	if len(l.respond) > 0 {
		status = l.respond[min(l.seen, len(l.respond)-1)]
	}
	l.seen++
	last = l.seen == l.stopAfter
	l.mu.Unlock()
	var sent *forwarded
	if l.forward != nil {
		sent = l.forward.send(ctx, r)
		status = sent.answerStatus()
	}
	if l.delay > 0 {
		_ = pause(ctx, l.delay) // a caller who has gone waits for no answer
	}
	took := time.Since(r.at)
	if w != nil {
		w.WriteHeader(status)
		if sent != nil {
			_, _ = io.WriteString(w, sent.Answer)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.show(r, status, took, sent)
	if last {
		close(l.done)
	}
	return last
}

// verdict says whether the signatures of a delivery are right.
func (l *listener) verdict(r *received) (rivya, standard string) {
	if r.unsigned {
		return "none", ""
	}
	word := func(err error) string {
		if err != nil {
			return "WRONG (" + err.Error() + ")"
		}
		return "right"
	}
	head := func(name string) string { return r.header.Get(l.prefix + "-" + name) }
	rivya = word(signature.VerifyRivya(head("Webhook-Signature"), head("Webhook-Timestamp"), r.body, r.at, l.secrets...))
	if h := r.header.Get("Webhook-Signature"); h != "" {
		standard = word(signature.VerifyStandard(r.header.Get("Webhook-Id"), h, r.header.Get("Webhook-Timestamp"), r.body, r.at, l.secrets...))
	}
	return rivya, standard
}

// A shown is what is printed of a delivery, for programs.
type shown struct {
	At        string          `json:"at"`
	Method    string          `json:"method"`
	Path      string          `json:"path"`
	EventID   string          `json:"event_id"`
	Type      string          `json:"type"`
	Attempt   string          `json:"attempt"`
	Signature string          `json:"signature"`
	Standard  string          `json:"standard_signature,omitempty"`
	Status    int             `json:"status"`
	TookMS    float64         `json:"duration_ms"`
	Forwarded *forwarded      `json:"forwarded,omitempty"`
	Body      json.RawMessage `json:"body"`
}

// show prints a delivery; the caller holds the lock.
func (l *listener) show(r *received, status int, took time.Duration, sent *forwarded) {
	var event struct{ Type string }
	_ = json.Unmarshal(r.body, &event) // a Sivi body has no type
	if event.Type == "" {
		event.Type = r.typ
	}
	rivya, standard := l.verdict(r)
	s := shown{
		At: relay.FormatTime(r.at), Method: r.method, Path: r.path, EventID: r.header.Get(l.prefix + "-Webhook-Id"), Type: event.Type,
		Attempt: r.header.Get(l.prefix + "-Webhook-Attempt"), Signature: rivya, Standard: standard, Status: status,
		TookMS: float64(took.Microseconds()) / 1000, Forwarded: sent, Body: r.body,
	}
	if !json.Valid(r.body) {
		s.Body, _ = json.Marshal(string(r.body)) // a string always marshals
	}
	if l.view.json {
		_ = printJSON(l.view.out, s) // nobody to tell, if the terminal is gone
		return
	}
	l.print(s, r, took)
}

func (l *listener) print(s shown, r *received, took time.Duration) {
	st, out := l.view.style, l.view.out
	said := "signature " + s.Signature
	if s.Standard != "" {
		said += ", Standard Webhooks " + s.Standard
	}
	paint := st.green
	if strings.Contains(said, "WRONG") {
		paint = st.red
	}
	line := func(text string) string { return strings.ReplaceAll(printable(text), "\n", `\n`) }
	fmt.Fprintf(out, "%s  %s %s  %s\n", st.dim(r.at.Format("15:04:05.000")), s.Method, line(s.Path), st.bold(line(s.Type)))
	fmt.Fprintf(out, "  %s  attempt %s  %s\n", line(s.EventID), line(s.Attempt), paint(line(said)))
	if f := s.Forwarded; f != nil {
		what := fmt.Sprintf("%d in %s", f.Status, short(time.Duration(f.TookMS*float64(time.Millisecond))))
		if f.Error != "" {
			what = st.red(line(f.Error))
		}
		fmt.Fprintf(out, "  → %s  %s\n", line(f.URL), what)
		if f.Answer != "" {
			fmt.Fprintf(out, "    %s\n", line(cut(f.Answer, 300)))
		}
	}
	answer := st.green(fmt.Sprint(s.Status))
	if s.Status/100 != 2 {
		answer = st.yellow(fmt.Sprint(s.Status))
	}
	fmt.Fprintf(out, "  ← %s after %s\n", answer, short(took))
	var pretty bytes.Buffer
	if json.Indent(&pretty, r.body, "  ", "  ") != nil {
		pretty.Reset()
		fmt.Fprintf(&pretty, "%q", r.body)
	}
	fmt.Fprintf(out, "  %s\n\n", printable(pretty.String()))
}
