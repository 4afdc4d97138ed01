package dispatcher_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"hookferry/shared/relay"
)

// BenchmarkHandle is one event of 1 KB to one endpoint at the first attempt, in
// batches of ten, everything in memory but the loopback call, whose server is in
// this process too.
func BenchmarkHandle(b *testing.B) {
	r := newRig(b)
	r.endpoint("a")
	body := []byte(`{"data":"` + strings.Repeat("0123456789abcdef", 63) + `"}`)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		var batch []relay.Received
		for i := range 10 {
			n++
			m := relay.NewEventMessage(r.newEvent(fmt.Sprint("evt_", n), func(ev *relay.Event) { ev.Payload = relay.NewPayload(body) }))
			batch = append(batch, relay.Received{ID: fmt.Sprint(i), Body: m.Encode()})
		}
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		if failed := r.d.Handle(ctx, r.events, batch); len(failed) > 0 {
			b.Fatal("failed")
		}
		cancel()
	}
	if got := r.dest.count(); got != n {
		b.Fatalf("got %d calls, want %d", got, n)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/event")
}
