package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c, err := New(srv.URL+"/", "rvya_sk_x")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A key is never sent where others can read it.
func TestAKeyIsNotSentInTheClear(t *testing.T) {
	for base, want := range map[string]bool{
		"http://127.0.0.1:8080": true, "http://localhost:8080/": true, "http://[::1]:1": true, "https://hooks.example.com": true,
		"https://hooks.example.com/relay": true, "http://hooks.example.com": false, "http://10.0.0.1": false,
		"hooks.example.com": false, "ftp://x": false, "https://u:p@x": false, "https://x/?a=b": false, "": false, "http://127.0.0.1.example.com": false,
	} {
		if _, err := New(base, "k"); (err == nil) != want {
			t.Errorf("%q: got %v", base, err)
		}
	}
	if _, err := New("https://x", "two keys"); err == nil {
		t.Error("a key with a blank was taken")
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the redirect was followed, with %q", r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	if _, _, err := c.Endpoint(context.Background(), "x"); err == nil {
		t.Error("a redirect was taken for an answer")
	}
}

func TestARefusalSaysWhatTheRelaySaid(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "req_1")
		if strings.HasSuffix(r.URL.Path, "gateway") {
			http.Error(w, "<html>", http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":{"code":"validation_failed","message":"is not an integer","requestId":"req_1","param":"limit"}}`)
	})
	var e *Error
	if _, _, err := c.Endpoint(t.Context(), "a/b ?"); !errors.As(err, &e) || e.Code != "validation_failed" || e.Param != "limit" || e.RequestID != "req_1" {
		t.Errorf("got %v", err)
	} else if want := "GET /api/v1/webhooks/a%2Fb%20%3F: 400 validation_failed: is not an integer (limit)"; e.Error() != want {
		t.Errorf("got %s, want %s", e, want)
	}
	if _, _, err := c.Endpoint(t.Context(), "gateway"); err == nil || !strings.Contains(err.Error(), "answered 502 bad gateway") {
		t.Errorf("got %v", err)
	}
	c = serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>hello</html>") })
	if _, _, err := c.Endpoint(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "not that of a relay") {
		t.Errorf("got %v", err)
	}
}

func TestAListIsReadAsFarAsItIsAskedFor(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var from, limit int
		fmt.Sscan(r.URL.Query().Get("cursor"), &from)
		fmt.Sscan(r.URL.Query().Get("limit"), &limit)
		var data []map[string]any
		for i := from; i < min(from+limit, 250); i++ {
			data = append(data, map[string]any{"id": fmt.Sprint("evt_", i)})
		}
		answer := map[string]any{"object": "list", "data": data, "has_more": from+limit < 250}
		if from+limit < 250 {
			answer["next_cursor"] = fmt.Sprint(from + limit)
		}
		json.NewEncoder(w).Encode(answer)
	})
	for most, want := range map[int]int{1: 1, 100: 100, 120: 120, 250: 250, 1000: 250} {
		all, more, err := Collect(most, func(limit int, cursor string) (Page[Event], error) {
			return c.Events(t.Context(), EventFilter{Type: "order.*"}, limit, cursor)
		})
		if err != nil || len(all.Items) != want || len(all.Raw) != want || more != (want < 250) {
			t.Errorf("%d: got %d, more %v, %v", most, len(all.Items), more, err)
		}
		if last := all.Items[want-1].ID; last != fmt.Sprint("evt_", want-1) {
			t.Errorf("%d: the last is %s", most, last)
		}
	}
}
