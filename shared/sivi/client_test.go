package sivi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/egress"
	"hookferry/shared/relay"
)

const apiKey = relay.Secret("sivi-key-f00ba4")

// standIn serves Sivi's status call with the given behaviour.
func standIn(t *testing.T, timeout time.Duration, serve http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(serve)
	t.Cleanup(srv.Close)
	return NewClient(srv.URL+"/api/prod/v2/", egress.New(egress.Config{Policy: egress.Policy{AllowPrivate: true}, Timeout: timeout}))
}

func respond(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func about(request, status string) string {
	return fmt.Sprintf(`{"status":200, "body":{"status":%q,"requestId":%q,"result":null}}`, status, request)
}

func TestTheStatusCallIsSivis(t *testing.T) {
	for api, path := range map[string]string{
		"":           "/api/prod/v2/general/get-request-status",
		"general":    "/api/prod/v2/general/get-request-status",
		"enterprise": "/api/prod/v2/enterprise/get-request-status",
	} {
		for _, request := range []string{"sbhMkIZKCPp", `odd "id" &x=1#%/ü+`} {
			c := standIn(t, time.Second, func(w http.ResponseWriter, r *http.Request) {
				var params map[string]string
				err := json.Unmarshal([]byte(r.URL.Query().Get("queryParams")), &params)
				if r.Method != "GET" || r.URL.Path != path || err != nil || len(r.URL.Query()) != 1 ||
					!cmp.Equal(params, map[string]string{"requestId": request}) || r.Header.Get("sivi-api-key") != apiKey.Reveal() {
					t.Errorf("got %s %s with key %q", r.Method, r.URL, r.Header.Get("sivi-api-key"))
				}
				fmt.Fprint(w, about(request, "complete"))
			})
			got, err := c.Status(context.Background(), apiKey, api, request)
			want := StatusAnswer{
				Found: true, HTTPStatus: 200, Body: []byte(about(request, "complete")),
				Call: Call{RequestID: request, Status: "complete", Terminal: true, Type: TypeSucceeded},
			}
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v -want +got\n%s", err, diff)
			}
		}
	}
}

func TestWhatAnAnswerMeans(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		found  bool
		call   string // its status
		err    error
	}{
		"complete":                 {200, about("sb1", "complete"), true, "complete", nil},
		"failed":                   {200, about("sb1", "failed"), true, "failed", nil},
		"still pending":            {200, about("sb1", "pending"), true, "pending", nil},
		"not known":                {404, `{"status":404,"body":{"message":"no such request"}}`, false, "", nil},
		"invalid":                  {422, `{"status":422,"body":{"message":"Invalid input"}}`, false, "", nil},
		"not known, within 200":    {200, `{"status":404,"body":{"message":"no such request"}}`, false, "", nil},
		"a proxy's 404":            {404, `<html>Not found</html>`, false, "", ErrUnclear},
		"an API gateway's 404":     {404, `{"message":"Not Found"}`, false, "", ErrUnclear},
		"key refused":              {401, `{"status":401,"body":{"message":"no"}}`, false, "", ErrKeyRefused},
		"key refused, within 200":  {200, `{"status":401,"body":{"message":"no"}}`, false, "", ErrKeyRefused},
		"forbidden":                {403, `{}`, false, "", ErrKeyRefused},
		"server error":             {500, `{"status":500,"body":{"message":"Server internal error"}}`, false, "", ErrUnreachable},
		"server error, within 200": {200, `{"status":500,"body":{"message":"Server internal error"}}`, false, "", ErrUnreachable},
		"server error, true body":  {502, about("sb1", "complete"), false, "", ErrUnreachable},
		"too many":                 {429, ``, false, "", ErrUnreachable},
		"redirect":                 {302, about("sb1", "complete"), false, "", ErrUnreachable},
		"no content":               {204, ``, false, "", ErrUnclear},
		"empty":                    {200, ``, false, "", ErrUnclear},
		"not JSON":                 {200, `complete`, false, "", ErrUnclear},
		"null body":                {200, `{"status":200,"body":null}`, false, "", ErrUnclear},
		"no status":                {200, `{"status":200,"body":{"requestId":"sb1"}}`, false, "", ErrUnclear},
		"another request":          {200, about("sb2", "complete"), false, "", ErrUnclear},
		"cut off":                  {200, about("sb1", "complete")[:40], false, "", ErrUnclear},
		"over the limit":           {200, about("sb1", "complete") + strings.Repeat(" ", MaxAnswer), false, "", ErrUnclear},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := standIn(t, 5*time.Second, respond(c.status, c.body)).Status(context.Background(), apiKey, "general", "sb1")
			if !errors.Is(err, c.err) || got.Found != c.found || got.Call.Status != c.call {
				t.Fatalf("got %+v, %v", got, err)
			}
			if err == nil && string(got.Body) != c.body {
				t.Errorf("body %q, want %q", got.Body, c.body)
			}
			if err != nil && !cmp.Equal(got, StatusAnswer{}) {
				t.Errorf("an error and an answer: %+v", got)
			}
		})
	}
}

func TestASlowOrAbsentSiviIsOutOfReach(t *testing.T) {
	release := make(chan struct{})
	wait := func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
	slow := standIn(t, 50*time.Millisecond, wait)
	dribble := standIn(t, 50*time.Millisecond, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, about("sb1", "complete")[:20])
		w.(http.Flusher).Flush()
		wait(w, r)
	})
	hangsUp := standIn(t, time.Second, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	gone := httptest.NewServer(nil)
	gone.Close()
	guarded := NewClient(gone.URL, egress.New(egress.Config{}))
	absent := NewClient(gone.URL, egress.New(egress.Config{Policy: egress.Policy{AllowPrivate: true}}))
	defer close(release)
	for name, c := range map[string]*Client{"slow": slow, "dribbles": dribble, "hangs up": hangsUp, "absent": absent, "a private address": guarded} {
		_, err := c.Status(context.Background(), apiKey, "general", "sb1")
		if !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: got %v, want ErrUnreachable", name, err)
			continue
		}
		if text := err.Error(); strings.Contains(text, "127.0.0.1") || strings.Contains(text, apiKey.Reveal()) {
			t.Errorf("%s: the error tells too much: %s", name, text)
		}
	}

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := slow.Status(ctx, apiKey, "general", "sb1"); !errors.Is(err, ErrUnreachable) {
		t.Errorf("cancelled: got %v, want ErrUnreachable", err)
	}
}

func TestAnEndlessAnswerIsNotReadToItsEnd(t *testing.T) {
	sent := make(chan int, 1)
	c := standIn(t, 5*time.Second, func(w http.ResponseWriter, r *http.Request) {
		chunk, n := make([]byte, 64<<10), 0
		for {
			m, err := w.Write(chunk)
			if n += m; err != nil || n > 64<<20 {
				sent <- n
				return
			}
		}
	})
	if _, err := c.Status(context.Background(), apiKey, "general", "sb1"); !errors.Is(err, ErrUnclear) {
		t.Errorf("got %v, want ErrUnclear", err)
	}
	// What the sockets hold comes on top of what was read.
	if n := <-sent; n > 32<<20 {
		t.Errorf("%d bytes went out before the connection was closed", n)
	}
}

func TestAnUnknownAPIOrBaseIsRefusedBeforeAnyCall(t *testing.T) {
	c := standIn(t, time.Second, func(http.ResponseWriter, *http.Request) { t.Error("called") })
	if _, err := c.Status(context.Background(), apiKey, "../admin", "sb1"); err == nil {
		t.Error("an unknown API was called")
	}
	if _, err := NewClient("http://\x00", egress.New(egress.Config{})).Status(context.Background(), apiKey, "", "sb1"); err == nil {
		t.Error("a malformed base was called")
	}
}
