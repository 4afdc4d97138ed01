package verify_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/seal"
	"hookferry/shared/signature"
	"hookferry/shared/verify"
	"hookferry/shared/verify/verifytest"
)

var (
	secret = relay.NewSigningSecret()
	other  = relay.NewSigningSecret()
	now    = time.Unix(1778467200, 0)
)

// signed returns the headers of a delivery of body at now, in both styles.
func signed(t testing.TB, id string, at time.Time, body []byte, secrets ...relay.Secret) http.Header {
	t.Helper()
	rivya, err := signature.SignRivya(at.Unix(), body, secrets...)
	if err != nil {
		t.Fatal(err)
	}
	standard, err := signature.SignStandard(id, at.Unix(), body, secrets...)
	if err != nil {
		t.Fatal(err)
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	h := http.Header{}
	for name, value := range map[string]string{
		"Rivya-Webhook-Id": id, "Rivya-Webhook-Timestamp": stamp, "Rivya-Webhook-Signature": rivya,
		"Rivya-Webhook-Source-Id": "src_1", "Rivya-Webhook-Endpoint-Id": "whend_1", "Rivya-Webhook-Attempt": "2", "Rivya-Request-Id": "req_1",
		"Webhook-Id": id, "Webhook-Timestamp": stamp, "Webhook-Signature": standard,
	} {
		h.Set(name, value)
	}
	return h
}

// With the public key of its endpoint a receiver needs no secret, and a delivery
// that carries no such signature is refused.
func TestAPublicKeyIsEnough(t *testing.T) {
	keys, body := signature.EndpointKeys(seal.Generate(), "whend_1"), []byte(`{"id":"evt_1"}`)
	v := verify.Verifier{PublicKeys: []string{keys[0].Public()}, Now: func() time.Time { return now }}
	h := signed(t, "evt_1", now, body, secret)
	if _, err := v.Verify(h, body); !errors.Is(err, verify.ErrMalformed) {
		t.Errorf("without v1a: %v", err)
	}
	asymmetric, err := signature.SignEd25519("evt_1", now.Unix(), body, keys...)
	if err != nil {
		t.Fatal(err)
	}
	h.Set("Webhook-Signature", h.Get("Webhook-Signature")+" "+asymmetric)
	if d, err := v.Verify(h, body); err != nil || d.Key() != "evt_1" {
		t.Errorf("got %+v, %v", d, err)
	}
	if _, err := v.Verify(h, append(body, ' ')); !errors.Is(err, verify.ErrMismatch) {
		t.Errorf("another body: %v", err)
	}
	v.PublicKeys = []string{"whpk_"}
	if _, err := v.Verify(h, body); !errors.Is(err, verify.ErrConfig) {
		t.Errorf("an empty key: %v", err)
	}
}

func TestVerifyTellsWhatIsWrong(t *testing.T) {
	body := []byte(`{"id":"evt_1"}`)
	for _, standard := range []bool{false, true} {
		v := verify.Verifier{Secrets: []string{other.Reveal(), secret.Reveal()}, Standard: standard, Now: func() time.Time { return now }}
		head := map[bool]string{false: "Rivya-Webhook-", true: "Webhook-"}[standard]
		d, err := v.Verify(signed(t, "evt_1", now, body, secret), body)
		if err != nil || d.EventID != "evt_1" || d.Attempt != 2 || d.EndpointID != "whend_1" || d.RequestID != "req_1" || !d.SentAt.Equal(now) {
			t.Errorf("got %+v, %v", d, err)
		}
		if want := map[bool]string{false: "src_1 evt_1", true: "evt_1"}[standard]; d.Key() != want {
			t.Errorf("key %q, want %q", d.Key(), want)
		}
		for name, tt := range map[string]struct {
			change func(h http.Header)
			want   error
		}{
			"no signature":   {func(h http.Header) { h.Del(head + "Signature") }, verify.ErrMissing},
			"no timestamp":   {func(h http.Header) { h.Del(head + "Timestamp") }, verify.ErrMissing},
			"no id":          {func(h http.Header) { h.Del(head + "Id") }, verify.ErrMissing},
			"two ids":        {func(h http.Header) { h.Add(head+"Id", "evt_2") }, verify.ErrMalformed},
			"two timestamps": {func(h http.Header) { h.Add(head+"Timestamp", "1") }, verify.ErrMalformed},
			"no number":      {func(h http.Header) { h.Set(head+"Timestamp", "0x10") }, verify.ErrMalformed},
			"other time":     {func(h http.Header) { h.Set(head+"Timestamp", "1778467201") }, verify.ErrMismatch},
			"long ago":       {func(h http.Header) { h.Set(head+"Timestamp", "1778466899") }, verify.ErrStale},
			"far ahead":      {func(h http.Header) { h.Set(head+"Timestamp", "1778467501") }, verify.ErrStale},
			"unknown only":   {func(h http.Header) { h.Set(head+"Signature", "v2=00") }, verify.ErrMalformed},
		} {
			h := signed(t, "evt_1", now, body, secret)
			tt.change(h)
			if _, err := v.Verify(h, body); !errors.Is(err, tt.want) {
				t.Errorf("standard %v, %s: got %v, want %v", standard, name, err, tt.want)
			}
		}
		for _, secrets := range [][]string{nil, {""}, {secret.Reveal(), ""}} {
			unusable := verify.Verifier{Secrets: secrets, Standard: standard, Now: v.Now}
			if _, err := unusable.Verify(signed(t, "evt_1", now, body, secret), body); !errors.Is(err, verify.ErrConfig) {
				t.Errorf("secrets %d: got %v", len(secrets), err)
			}
		}
	}
}

func post(t testing.TB, h http.Handler, header http.Header, body string) int {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header = header
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

func TestHandlerPassesOnEachEventUntilItIsTaken(t *testing.T) {
	body := `{"id":"evt_1"}`
	v := verify.Verifier{Secrets: []string{secret.Reveal()}, Now: func() time.Time { return now }}
	answers := []int{500, 0, 200, 200}
	var calls int
	h := v.Handler(verify.NewMemory(2), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		d, ok := verify.From(r.Context())
		if string(got) != body || !ok || !strings.HasPrefix(d.EventID, "evt_") {
			t.Errorf("got %q, %+v, %v", got, d, ok)
		}
		status := answers[calls]
		calls++
		if status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(status)
	}))
	try := func(id string) (status int) {
		defer func() {
			if recover() != nil {
				status = -1
			}
		}()
		return post(t, h, signed(t, id, now, []byte(body), secret), body)
	}
	for i, want := range []int{500, -1, 200, 200, 200} {
		if got := try("evt_1"); got != want {
			t.Errorf("attempt %d: got %d, want %d", i+1, got, want)
		}
	}
	if calls != 3 {
		t.Errorf("handled %d times, want 3: twice without success, once with", calls)
	}
	if got := try("evt_2"); got != 200 || calls != 4 {
		t.Errorf("another event: %d, %d calls", got, calls)
	}
}

func TestHandlerRefusesWhatIsNoDelivery(t *testing.T) {
	v := verify.Verifier{Secrets: []string{secret.Reveal()}, MaxBody: 10, Now: func() time.Time { return now }}
	h := v.Handler(nil, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("passed on") }))
	if got := post(t, h, signed(t, "evt_1", now, []byte("12345678901"), secret), "12345678901"); got != http.StatusRequestEntityTooLarge {
		t.Errorf("a long body: %d", got)
	}
	if got := post(t, h, signed(t, "evt_1", now, []byte("1"), other), "1"); got != http.StatusUnauthorized {
		t.Errorf("another's secret: %d", got)
	}
	r := httptest.NewRequest(http.MethodPost, "/", io.MultiReader(strings.NewReader("1"), brokenReader{}))
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != http.StatusBadRequest {
		t.Errorf("a body that ends early: %d", w.Code)
	}
	w = httptest.NewRecorder()
	if h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil)); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "POST" {
		t.Errorf("GET: %d", w.Code)
	}
	unset := verify.Verifier{}
	if got := post(t, unset.Handler(nil, h), signed(t, "evt_1", now, []byte("1"), secret), "1"); got != http.StatusInternalServerError {
		t.Errorf("without a secret: %d", got)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestMemoryHandlesAKeyOnceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := verify.NewMemory(10)
		var running, most, handled atomic.Int32
		for i := range 20 {
			go func() {
				_ = m.Once(t.Context(), "k", func() error {
					most.Store(max(most.Load(), running.Add(1)))
					defer running.Add(-1)
					time.Sleep(time.Second)
					if i%2 == 0 && handled.Load() == 0 {
						return errors.New("not this time")
					}
					handled.Add(1)
					return nil
				})
			}()
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := m.Once(ctx, "k", func() error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller that gives up: %v", err)
		}
		time.Sleep(time.Minute)
		if most.Load() != 1 || handled.Load() != 1 {
			t.Errorf("at once %d, handled %d: want 1 and 1", most.Load(), handled.Load())
		}
	})
}

func TestMemoryForgetsTheOldest(t *testing.T) {
	m := verify.NewMemory(2)
	var ran []string
	for _, key := range []string{"a", "b", "a", "c", "a", "b"} {
		if err := m.Once(t.Context(), key, func() error { ran = append(ran, key); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := strings.Join(ran, ""), "abcab"; got != want {
		t.Errorf("ran %s, want %s", got, want)
	}
}

// A signature's base64 may begin as a version does.
func TestNoSignatureIsTakenForAVersion(t *testing.T) {
	body := []byte(`{"id":"evt_1"}`)
	for _, language := range verifytest.Languages {
		t.Run(language, func(t *testing.T) {
			url := verifytest.Start(t, language, true, secret.Reveal())
			at := time.Now()
			for !strings.HasPrefix(signed(t, "evt_1", at, body, secret).Get("Webhook-Signature"), "v1,v") {
				at = at.Add(-time.Second)
				if time.Since(at) > 4*time.Minute {
					t.Skip("no such signature within the tolerance for this secret")
				}
			}
			header := signed(t, "evt_1", at, body, secret)
			header.Set("Webhook-Signature", "v1a,"+strings.Repeat("A", 86)+"== "+header.Get("Webhook-Signature"))
			if got := call(t, url, header, body); got/100 != 2 {
				t.Errorf("got %d", got)
			}
		})
	}
}

// A receiver in TypeScript, too, needs no more than the public key.
func TestAPublicKeyIsEnoughInTypeScript(t *testing.T) {
	keys := append(signature.EndpointKeys(seal.Generate(), "whend_1"), signature.EndpointKeys(seal.Generate(), "whend_1")...)
	url := verifytest.Start(t, "typescript", true, keys[0].Public())
	body := []byte(`{"id":"evt_1"}`)
	at := time.Now()
	right, err := signature.SignEd25519("evt_1", at.Unix(), body, keys[1], keys[0])
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := signature.SignEd25519("evt_1", at.Unix(), body, keys[1])
	if err != nil {
		t.Fatal(err)
	}
	for header, want := range map[string]int{right: 200, "v1," + strings.Repeat("A", 43) + "= " + right: 200, wrong: 401, strings.Replace(right, "v1a,", "v1,", 2): 401} {
		h := signed(t, "evt_1", at, body, secret)
		h.Set("Webhook-Signature", header)
		if got := call(t, url, h, body); got != want {
			t.Errorf("%s: got %d, want %d", header, got, want)
		}
	}
}

// call posts a body and returns the status of the answer.
func call(t *testing.T, url string, header http.Header, body []byte) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
