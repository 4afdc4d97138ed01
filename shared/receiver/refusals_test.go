package receiver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
)

// A ledger adds up the refusals that are written to it.
type ledger struct {
	relay.RefusalStore
	mu     sync.Mutex
	writes int
	counts map[string]int // by source, reason and hour
	err    error
}

func (l *ledger) AddRefusals(_ context.Context, r relay.Refusal) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writes++
	if l.err != nil {
		return l.err
	}
	if l.counts == nil {
		l.counts = map[string]int{}
	}
	l.counts[fmt.Sprintf("%s %s %d", r.SourceID, r.Reason, r.Hour.Hour())] += r.Count
	return nil
}

func (b *bench) counting() *ledger {
	l := &ledger{}
	rc := b.Handler.(*receiver).Config
	rc.Refusals = NewRefusals(l)
	b.Handler = New(rc)
	return l
}

func (b *bench) refusals() *Refusals { return b.Handler.(*receiver).Refusals }

func TestRefusedCallsOfASourceAreCountedByReason(t *testing.T) {
	b := newBench(t)
	l := b.counting()
	b.do(post("/in/src_rivya", rivyaBody))
	b.do(signed(t, "src_rivya", rivyaBody, start.Add(-time.Hour), rivyaSecret))
	b.do(signed(t, "src_rivya", rivyaBody, start, "another secret"))
	b.do(signed(t, "src_off", rivyaBody, start, rivyaSecret))
	b.do(signed(t, "src_nosecret", rivyaBody, start, rivyaSecret))
	b.do(post(siviPath("src_sivi", "wrong"), siviBody))
	b.do(post(siviPath("src_sivi", siviToken), "[]"))
	// Not counted: what was taken, and what names no source.
	b.do(signed(t, "src_rivya", rivyaBody, start, rivyaSecret))
	b.do(signed(t, "src_unknown", rivyaBody, start, rivyaSecret))
	b.do(post("/in/acct_1", rivyaBody))
	hour := start.UTC().Hour()
	want := map[string]int{}
	for _, at := range []string{
		"src_rivya signature_missing", "src_rivya signature_stale", "src_rivya signature_mismatch", "src_off source",
		"src_nosecret no_secret", "src_sivi token", "src_sivi body",
	} {
		want[fmt.Sprint(at, " ", hour)] = 1
	}
	if d := cmp.Diff(want, l.counts); d != "" {
		t.Errorf("counted (-want +got):\n%s", d)
	}
}

func TestAFloodOfRefusedCallsIsWrittenOnceAMinute(t *testing.T) {
	b := newBench(t)
	l := b.counting()
	const seconds, each = 130, 20
	for range seconds {
		for range each {
			b.do(post(siviPath("src_sivi", "wrong"), siviBody))
		}
		b.now = b.now.Add(time.Second)
	}
	if l.writes != 3 {
		t.Errorf("%d writes in %d s, want one at once and then one a minute", l.writes, seconds)
	}
	b.refusals().Settle(t.Context(), b.now)
	if l.writes != 3 {
		t.Error("a count was written before its minute was over")
	}
	b.refusals().Settle(t.Context(), b.now.Add(time.Minute))
	b.refusals().Settle(t.Context(), b.now.Add(3*time.Minute)) // nothing is left
	sum := 0
	for _, n := range l.counts {
		sum += n
	}
	if sum != seconds*each || l.writes != 4 {
		t.Errorf("counted %d in %d writes, want %d in 4", sum, l.writes, seconds*each)
	}
}

func TestWhatWasCountedInAnHourCountsForIt(t *testing.T) {
	b := newBench(t)
	l := b.counting()
	b.now = start.Truncate(time.Hour).Add(59*time.Minute + 30*time.Second)
	hour := b.now.UTC().Hour()
	for range 3 {
		b.do(post(siviPath("src_sivi", "wrong"), siviBody))
	}
	b.now = b.now.Add(40 * time.Second)
	for range 2 {
		b.do(post(siviPath("src_sivi", "wrong"), siviBody))
	}
	b.refusals().Flush(t.Context(), b.now)
	want := map[string]int{fmt.Sprint("src_sivi token ", hour): 3, fmt.Sprint("src_sivi token ", (hour+1)%24): 2}
	if d := cmp.Diff(want, l.counts); d != "" {
		t.Errorf("counted (-want +got):\n%s", d)
	}
}

func TestACountThatCouldNotBeWrittenIsWrittenLater(t *testing.T) {
	b := newBench(t)
	l := b.counting()
	l.err = errors.New("throttled")
	for range 3 {
		w := b.do(post(siviPath("src_sivi", "wrong"), siviBody))
		b.wantError(t, w, 401, relay.KindTokenInvalid) // which the caller does not notice
		b.now = b.now.Add(time.Second)
	}
	l.err = nil
	b.refusals().Settle(t.Context(), b.now.Add(time.Minute))
	if n := l.counts[fmt.Sprint("src_sivi token ", start.UTC().Hour())]; n != 3 {
		t.Errorf("counted %v", l.counts)
	}
}

func TestTheCountsInHandAreBounded(t *testing.T) {
	l := &ledger{}
	f := NewRefusals(l)
	for i := range maxRefusals + 500 {
		f.note(t.Context(), fmt.Sprint("src_", i), "token", start)
	}
	if len(f.counts) > maxRefusals || l.writes != maxRefusals {
		t.Errorf("%d in hand, %d writes", len(f.counts), l.writes)
	}
	f.note(t.Context(), "src_later", "token", start.Add(time.Minute))
	if len(f.counts) != 1 || l.counts[fmt.Sprintf("src_later token %d", start.UTC().Hour())] != 1 {
		t.Errorf("%d in hand, what has been written is forgotten", len(f.counts))
	}
}
