package receiver

import (
	"context"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/sqlite"
)

// TestWhatWasAnsweredIsStillThereAfterAnotherStart runs on the real store and
// queue of one machine: a call that was answered 200 is on the queue when the
// file is opened again, byte for byte.
func TestWhatWasAnsweredIsStillThereAfterAnotherStart(t *testing.T) {
	ctx := context.Background()
	b := newBench(t)
	cfg := sqlite.Config{Path: filepath.Join(t.TempDir(), "relay.db"), Now: func() time.Time { return b.now }}
	db, err := sqlite.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.CreateAccount(ctx, relay.Account{ID: "acct_1", Name: "one", CreatedAt: relay.Millis(start)}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"src_rivya", "src_sivi"} {
		src := b.sources[id]
		src.CreatedAt, src.UpdatedAt = relay.Millis(start), relay.Millis(start)
		if err := db.CreateSource(ctx, src, 10); err != nil {
			t.Fatal(err)
		}
	}
	h := New(Config{Sources: db, Events: db.Queue("events"), Keys: b.keys, Now: func() time.Time { return b.now }})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, signed(t, "src_rivya", rivyaBody, start, rivyaSecret))
	wantAccepted(t, w, "evt_1")
	w = httptest.NewRecorder()
	h.ServeHTTP(w, post(siviPath("src_sivi", siviToken), siviBody))
	if w.Code != 200 {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, signed(t, "src_rivya", rivyaBody, start, rivyaSecret))
	b.wantError(t, w, 503, relay.KindUnavailable)

	if db, err = sqlite.Open(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	got, err := db.Queue("events").Receive(ctx, 10, 0, time.Minute)
	if err != nil || len(got) != 2 {
		t.Fatalf("got %d messages, %v, want 2", len(got), err)
	}
	bodies := map[string]bool{}
	for _, msg := range got {
		m, err := relay.DecodeMessage(msg.Body)
		if err != nil {
			t.Fatal(err)
		}
		body, err := m.Event.Payload.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		bodies[string(body)] = true
	}
	if !bodies[rivyaBody] || !bodies[siviBody] {
		t.Errorf("got bodies %v", bodies)
	}
}
