package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/signature"
)

// An inbox is the receiver of a trial: it keeps what arrives, and judges it.
type inbox struct {
	url    string
	secret relay.Secret // set before the first delivery
	srv    *http.Server
	got    chan arrival

	mu   sync.Mutex
	seen int
	fail bool
}

// An arrival is one delivery as it arrived.
type arrival struct {
	at             time.Time
	event, attempt string
	body           []byte
	answered       int
	wrong          error // what is wrong with its signatures
}

// newInbox listens on a free port of this machine.
func newInbox(ctx context.Context) (*inbox, error) {
	ln, err := listenLoopback(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	in := &inbox{url: baseURL(ln) + "/hook", got: make(chan arrival, 16)}
	in.srv = &http.Server{Handler: in, ReadHeaderTimeout: tryPatience}
	go func() { _ = in.srv.Serve(ln) }() // until close
	return in, nil
}

func (in *inbox) close() { in.srv.Close() }

// failNext makes the next delivery be answered 500.
func (in *inbox) failNext() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.fail = true
}

// count is how many deliveries have arrived.
func (in *inbox) count() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.seen
}

// next returns the next delivery once it has arrived.
func (in *inbox) next(ctx context.Context) (arrival, error) {
	timer := time.NewTimer(tryPatience)
	defer timer.Stop()
	select {
	case got := <-in.got:
		return got, nil
	case <-timer.C:
		return arrival{}, fmt.Errorf("no delivery came within %s", tryPatience)
	case <-ctx.Done():
		return arrival{}, ctx.Err()
	}
}

// ServeHTTP takes one delivery.
func (in *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2*relay.MaxPayload))
	if err != nil {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	h := r.Header
	wrong := signature.VerifyRivya(h.Get("Rivya-Webhook-Signature"), h.Get("Rivya-Webhook-Timestamp"), body, now, in.secret)
	if wrong == nil {
		wrong = signature.VerifyStandard(h.Get("Webhook-Id"), h.Get("Webhook-Signature"), h.Get("Webhook-Timestamp"), body, now, in.secret)
	}
	status := http.StatusOK
	in.mu.Lock()
	in.seen++
	if in.fail {
		status, in.fail = http.StatusInternalServerError, false
	}
	in.mu.Unlock()
	w.WriteHeader(status)
	select {
	case in.got <- arrival{now, h.Get("Rivya-Webhook-Id"), h.Get("Rivya-Webhook-Attempt"), body, status, wrong}:
	default: // far more than a trial sends: its count will tell
	}
}
