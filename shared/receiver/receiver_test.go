package receiver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/telemetry"
)

func TestWhatIsNotThereIsNotThere(t *testing.T) {
	for name, r := range map[string]*http.Request{
		"unknown source":              signed(t, "src_unknown", rivyaBody, start, rivyaSecret),
		"disabled source":             signed(t, "src_off", rivyaBody, start, rivyaSecret),
		"disabled Sivi source":        post(siviPath("src_sivioff", siviToken), siviBody),
		"unknown source with a token": post(siviPath("src_unknown", siviToken), siviBody),
		"Sivi call, Rivya source":     post(siviPath("src_rivya", siviToken), siviBody),
		"Rivya call, Sivi source":     signed(t, "src_sivi", rivyaBody, start, rivyaSecret),
		"empty token, Rivya source":   signed(t, "src_rivya/", rivyaBody, start, rivyaSecret),
		"no source":                   post("/in/", rivyaBody),
		"no source but a token":       post("/in//x", rivyaBody),
		"a third part":                post(siviPath("src_sivi", siviToken)+"/x", siviBody),
		"elsewhere":                   post("/inn/src_rivya", rivyaBody),
	} {
		b := newBench(t)
		t.Run(name, func(t *testing.T) { b.wantError(t, b.do(r), 404, relay.KindNotFound) })
	}
}

func TestOtherMethodsAreRefusedAlikeForEverySource(t *testing.T) {
	b := newBench(t)
	for _, path := range []string{"/in/src_rivya", "/in/src_unknown", siviPath("src_sivi", siviToken), "/in/src_sivi/wrong"} {
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"} {
			w := b.do(httptest.NewRequest(method, path, nil))
			b.wantError(t, w, 405, relay.KindMethodNotAllowed)
			if got := w.Header().Get("Allow"); got != "POST" {
				t.Errorf("%s: Allow is %q", method, got)
			}
		}
	}
	if len(b.lookups) != 0 {
		t.Errorf("looked up %v", b.lookups)
	}
}

// counter counts what is read of an endless body.
type counter struct{ n int }

func (c *counter) Read(p []byte) (int, error) {
	c.n += len(p)
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestAnOversizedBodyIsRefusedAndNotReadBeyondTheLimit(t *testing.T) {
	for _, path := range []string{"/in/src_rivya", siviPath("src_sivi", siviToken)} {
		for declared, most := range map[int64]int{-1: relay.MaxPayload + 1, relay.MaxPayload + 1: 0, 1 << 40: 0, 10: relay.MaxPayload + 1} {
			b, body := newBench(t), &counter{}
			r := signed(t, "src_rivya", rivyaBody, start, rivyaSecret)
			r.URL.Path, r.Body, r.ContentLength = path, io.NopCloser(body), declared
			b.wantError(t, b.do(r), 413, relay.KindPayloadTooLarge)
			if body.n > most {
				t.Errorf("%d declared: read %d bytes, want at most %d", declared, body.n, most)
			}
		}
	}
}

func TestABodyOfExactlyTheLimitIsTaken(t *testing.T) {
	b := newBench(t)
	full := func(body string) string { return body + strings.Repeat(" ", relay.MaxPayload-len(body)) }
	wantAccepted(t, b.do(signed(t, "src_rivya", full(rivyaBody), start, rivyaSecret)), "evt_1")
	if w := b.do(post(siviPath("src_sivi", siviToken), full(siviBody))); w.Code != 200 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	b.sent = nil
	b.wantError(t, b.do(signed(t, "src_rivya", full(rivyaBody)+" ", start, rivyaSecret)), 413, relay.KindPayloadTooLarge)
}

func TestWithoutAProofNothingIsReadAndNothingButSourcesLookedUp(t *testing.T) {
	for name, path := range map[string]string{
		"unsigned":        "/in/src_rivya",
		"wrong token":     "/in/src_sivi/wrong",
		"empty token":     "/in/src_sivi/",
		"unknown":         "/in/src_unknown",
		"not an id":       "/in/acct_1",
		"not a source id": "/in/src_%00",
		"very long":       "/in/src_" + strings.Repeat("x", 8000),
		"odd characters":  "/in/src_a%20b",
	} {
		b, body := newBench(t), &counter{}
		r := httptest.NewRequest(http.MethodPost, path, body)
		r.ContentLength = -1
		w := b.do(r)
		if w.Code != 401 && w.Code != 404 || body.n != 0 || len(b.sent) != 0 {
			t.Errorf("%s: got %d after %d bytes, %d sent", name, w.Code, body.n, len(b.sent))
		}
		for _, id := range b.lookups {
			if id != "src_rivya" && id != "src_sivi" && id != "src_unknown" {
				t.Errorf("%s: the store was asked for %q", name, id)
			}
		}
	}
}

func TestABodyThatBreaksOffIsRefused(t *testing.T) {
	b := newBench(t)
	r := signed(t, "src_rivya", rivyaBody, start, rivyaSecret)
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(rivyaBody[:10]), errReader{}))
	b.wantError(t, b.do(r), 400, relay.KindValidation)
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestOurOwnFailuresAskForAnotherCallAndGiveNothingAway(t *testing.T) {
	cause := errors.New("dial 10.0.0.7: secret detail")
	for name, c := range map[string]struct {
		fail   func(*bench)
		source string
		status int
		code   relay.Kind
	}{
		"queue down":       {func(b *bench) { b.sendErr = cause }, "src_rivya", 503, relay.KindUnavailable},
		"queue refuses":    {func(b *bench) { b.sendErr = &relay.SendError{Failed: map[int]error{0: relay.ErrTooLarge}} }, "src_rivya", 503, relay.KindUnavailable},
		"store down":       {func(b *bench) { b.lookErr = cause }, "src_rivya", 503, relay.KindUnavailable},
		"secret unopened":  {func(*bench) {}, "src_damaged", 500, relay.KindInternal},
		"secret malformed": {func(b *bench) { b.setSecret("src_rivya", "short") }, "src_rivya", 500, relay.KindInternal},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			c.fail(b)
			w := b.do(signed(t, c.source, rivyaBody, start, rivyaSecret))
			b.wantError(t, w, c.status, c.code)
			if strings.Contains(w.Body.String(), "10.0.0.7") || strings.Contains(w.Body.String(), "seal") {
				t.Errorf("the answer gives the cause away: %s", w.Body)
			}
			if !strings.Contains(b.log.String(), `"level":"ERROR"`) || strings.Count(b.log.String(), "\n") != 1 {
				t.Errorf("want one ERROR line, got %s", b.log.String())
			}
		})
	}
}

func TestACallerThatHangsUpDoesNotLoseItsEvent(t *testing.T) {
	b := newBench(t)
	ctx, hangUp := context.WithCancel(context.Background())
	b.onSend = func(sending context.Context) {
		hangUp()
		if err := sending.Err(); err != nil {
			t.Errorf("the send was cancelled: %v", err)
		}
		if deadline, ok := sending.Deadline(); !ok || time.Until(deadline) > sendTimeout {
			t.Errorf("the send has deadline %v", deadline)
		}
	}
	b.do(post(siviPath("src_sivi", siviToken), siviBody).WithContext(ctx))
	if len(b.sent) != 1 {
		t.Errorf("%d messages sent, want 1", len(b.sent))
	}
}

func TestNoTokenIsEverSeen(t *testing.T) {
	var seen bytes.Buffer
	codes := map[int]bool{}
	call := func(prepare func(*bench), r *http.Request) {
		b := newBench(t)
		if prepare != nil {
			prepare(b)
		}
		w := b.do(r)
		codes[w.Code] = true
		seen.Write(b.log.Bytes())
		seen.Write(w.Body.Bytes())
		w.Header().Write(&seen)
		for _, out := range b.sent {
			seen.Write(out.Body)
		}
	}
	path := siviPath("src_sivi", siviToken)
	call(nil, post(path, siviBody))
	call(nil, post(path, `{}`))
	call(nil, post(path+"x", siviBody))
	call(nil, post(path+"/", siviBody))
	call(nil, post("/in/"+siviToken.Reveal(), siviBody))
	call(nil, post("/in/src_"+siviToken.Reveal(), siviBody))
	call(nil, post(siviPath("src_unknown", siviToken), siviBody))
	call(nil, httptest.NewRequest("GET", path, nil))
	call(nil, post(path, strings.Repeat(" ", relay.MaxPayload+1)))
	call(func(b *bench) { b.sendErr = errors.New("queue down") }, post(path, siviBody))
	call(func(b *bench) { b.lookErr = errors.New("store down") }, post(path, siviBody))
	call(nil, signed(t, "src_rivya", rivyaBody, start, rivyaSecret))
	call(nil, signed(t, "src_rivya", rivyaBody, start, oldSecret))
	for _, code := range []int{200, 400, 401, 404, 405, 413, 503} {
		if !codes[code] {
			t.Errorf("no call was answered %d", code)
		}
	}
	for _, secret := range []relay.Secret{siviToken, rivyaSecret, oldSecret} {
		if strings.Contains(seen.String(), secret.Reveal()) {
			t.Errorf("a secret shows in\n%s", seen.String())
		}
	}
}

func TestOnlyRefusedAndFailedCallsLeaveALineByDefault(t *testing.T) {
	b := newBench(t)
	now := func() time.Time { return start }
	log := telemetry.New(slog.New(slog.NewJSONHandler(&b.log, nil)), now)
	h := New(Config{Sources: b, Events: b, Keys: b.keys, Now: now, Log: log})
	h.ServeHTTP(httptest.NewRecorder(), signed(t, "src_rivya", rivyaBody, start, rivyaSecret))
	if b.log.Len() != 0 {
		t.Errorf("an accepted call left %s", b.log.String())
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, signed(t, "src_rivya", rivyaBody, start, oldSecret))
	wantLine(t, b.log.Bytes(), map[string]any{
		"msg": "receive", "level": "INFO", "status": 401.0, "reason": "signature_mismatch",
		"source_id": "src_rivya", "account": "acct_1", "rejected": 1.0, "rejected_signature_mismatch": 1.0,
		"request_id": w.Header().Get("X-Request-Id"),
	})
}

func TestWhereMetricsAreWrittenAnAcceptedCallIsCountedAndNothingElseSaid(t *testing.T) {
	b := newBench(t)
	now := func() time.Time { return start }
	log := telemetry.New(slog.New(slog.NewJSONHandler(&b.log, nil)), now).WithMetrics(telemetry.Metrics{Stage: "test", Function: "receiver"})
	h := New(Config{Sources: b, Events: b, Keys: b.keys, Now: now, Log: log})
	h.ServeHTTP(httptest.NewRecorder(), signed(t, "src_rivya", rivyaBody, start, rivyaSecret))
	wantLine(t, b.log.Bytes(), map[string]any{"accepted": 1.0, "Function": "receiver", "event_id": nil, "request_id": nil, "account": nil})
}

// wantLine checks fields of a single line; nil means that it is not there.
func wantLine(t *testing.T, text []byte, want map[string]any) {
	t.Helper()
	var line map[string]any
	if err := json.Unmarshal(text, &line); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	for field, value := range want {
		if line[field] != value {
			t.Errorf("%s is %v, want %v, in %s", field, line[field], value, text)
		}
	}
}

func TestWithoutALogItWorksToo(t *testing.T) {
	b := newBench(t)
	h := New(Config{Sources: b, Events: b, Keys: b.keys, Now: func() time.Time { return start }})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, signed(t, "src_rivya", rivyaBody, start, rivyaSecret))
	wantAccepted(t, w, "evt_1")
	h.ServeHTTP(httptest.NewRecorder(), post("/in/x", ""))
}
