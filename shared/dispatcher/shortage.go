package dispatcher

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"hookferry/shared/relay"
)

const (
	// shortagePause is how long what met a shortage of ours waits at least before
	// it is tried again, and shortageSpread how much longer at most, so that it
	// does not all come back together.
	shortagePause  = 2 * time.Second
	shortageSpread = 8 * time.Second
	// shortageQuiet is how long a shortage is not logged again.
	shortageQuiet = 10 * time.Second
)

// A shortageLog logs that this process is short of something, one line for a
// burst. It is safe for concurrent use.
type shortageLog struct {
	mu     sync.Mutex
	last   time.Time
	unsaid int
}

// afterShortage returns the message that asks again for an attempt that was not
// made because this process ran out of files, ports or memory. It is the same
// attempt, due when it was: only held back for some seconds.
func (w *work) afterShortage(ctx context.Context, m relay.Message, err error) relay.Message {
	now := w.Now()
	m.NotBefore = relay.Millis(now.Add(shortagePause + w.Jitter(shortageSpread)))
	w.short.mu.Lock()
	defer w.short.mu.Unlock()
	if now.Sub(w.short.last) < shortageQuiet {
		w.short.unsaid++
		return m
	}
	w.Log.Failure(ctx, "calls wait for files, ports or memory", err, slog.Int("others_since_last_line", w.short.unsaid))
	w.short.last, w.short.unsaid = now, 0
	return m
}
