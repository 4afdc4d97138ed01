package main

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"hookferry/shared/bounds"
	"hookferry/shared/relay"
)

// A health answers whether the process lives, and whether it can work. It says no
// more than that, since it asks for no key.
type health struct {
	store  relay.Store
	queues map[string]relay.DeadLetters

	mu     sync.Mutex // one look at a time, however many ask
	until  time.Time
	ailing []string
}

// ServeHTTP answers GET /healthz and GET /readyz.
func (h *health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Content-Type", "text/plain; charset=utf-8")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		head.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	if r.URL.Path == "/readyz" {
		if ailing := h.look(r.Context()); len(ailing) > 0 {
			http.Error(w, "no answer from: "+strings.Join(ailing, ", "), http.StatusServiceUnavailable)
			return
		}
	}
	_, _ = w.Write([]byte("ok\n"))
}

// look asks the store and both queues for something small, and returns which of
// them did not answer in time. What it finds holds for a second.
func (h *health) look(ctx context.Context) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Now().Before(h.until) {
		return h.ailing
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bounds.Ready)
	defer cancel()
	asks := map[string]func() error{"store": func() error {
		_, err := h.store.KeyByHash(ctx, relay.HashSecret("nobody's"))
		if errors.Is(err, relay.ErrNotFound) {
			return nil
		}
		return err
	}}
	for name, q := range h.queues {
		asks["queue "+name] = func() error {
			_, err := q.DeadCount(ctx)
			return err
		}
	}
	type answer struct {
		name string
		err  error
	}
	answers := make(chan answer, len(asks)) // one that hangs is left to its context
	for name, ask := range asks {
		go func() { answers <- answer{name, ask()} }()
	}
	for range len(asks) {
		select {
		case a := <-answers:
			if a.err == nil {
				delete(asks, a.name)
			}
		case <-ctx.Done():
		}
	}
	h.ailing = slices.Sorted(maps.Keys(asks))
	h.until = time.Now().Add(time.Second)
	return h.ailing
}
