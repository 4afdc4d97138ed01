package sqlite

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"
)

const (
	// trimAt is the size of the log at which the writer itself sees to it that it
	// begins anew: usually that comes by itself at logSize, but never while one
	// reader follows upon the other without a gap.
	trimAt = 2 * logSize
	// trimWait is how long writes are held up for it, and trimEvery how often.
	trimWait  = 50 * time.Millisecond
	trimEvery = 2 * time.Second
	// sayAt is the size at which the log's growth is worth a line.
	sayAt = 8 * logSize
)

// trim keeps the log from growing without end while the relay runs. Only a reader
// that stays on one moment, as another program's open transaction does, can keep
// the log from beginning anew, because it may still read all that came later; that
// is logged, once at each doubling, and ends with the reader.
func (w *writer) trim() {
	info, err := os.Stat(w.logPath)
	if err != nil || info.Size() < trimAt {
		w.said = 0
		return
	}
	if now := time.Now(); now.Sub(w.trimmed) >= trimEvery {
		w.trimmed = now
		if w.checkpoint(trimWait) == nil {
			w.said = 0
			return
		}
	}
	if size := info.Size(); w.log != nil && size >= max(sayAt, 2*w.said) {
		w.said = size
		w.log.LogAttrs(context.Background(), slog.LevelWarn, "the log of the data file cannot begin anew, because a program has been reading the file for long without a pause; "+
			"it takes up disk until that program ends its transaction or is stopped",
			slog.String("file", w.logPath), slog.String("size", fmt.Sprintf("%d MiB", size>>20)))
	}
}
