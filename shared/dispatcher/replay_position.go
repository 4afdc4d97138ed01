package dispatcher

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The phases of a replay, in their order.
const (
	phaseStart = ""  // runs are started
	phaseOpen  = "o" // what is open is sent now
	phaseCount = "c" // runs are counted, until all have ended
)

// A position is how far a replay has come; a Replay keeps it as After. Empty
// stands for the first step.
type position struct {
	step    int       // the next to be made
	claimed time.Time // until when an invocation makes it alone
	phase   string
	drained time.Time // when the last run was started
	tally   replayTally
	cursor  string // the page that is next
}

// replayTally is what a replay has counted so far: the runs it started, the copies of
// messages it sent of what was open, and of the walk that is going on how the
// runs ended.
type replayTally struct{ runs, copies, succeeded, failed, skipped, open int }

// String returns step.claimed.cursor, and before the cursor what is not zero
// beside: ~phase~drained~counts~. Positions of earlier versions have none of it.
func (p position) String() string {
	claimed, drained := int64(0), int64(0)
	if !p.claimed.IsZero() {
		claimed = p.claimed.UnixMilli()
	}
	if !p.drained.IsZero() {
		drained = p.drained.UnixMilli()
	}
	t := p.tally
	return fmt.Sprintf("%d.%d.~%s~%d~%d,%d,%d,%d,%d,%d~%s", p.step, claimed, p.phase, drained,
		t.runs, t.copies, t.succeeded, t.failed, t.skipped, t.open, p.cursor)
}

func parsePosition(after string) (position, error) {
	if after == "" {
		return position{step: 1}, nil
	}
	malformed := fmt.Errorf("replay position %q is malformed", after)
	parts := strings.SplitN(after, ".", 3)
	if len(parts) != 3 {
		return position{}, malformed
	}
	step, err1 := strconv.Atoi(parts[0])
	claimed, err2 := strconv.ParseInt(parts[1], 10, 64)
	if err1 != nil || err2 != nil || step < 1 {
		return position{}, malformed
	}
	p := position{step: step, cursor: parts[2]}
	if claimed != 0 {
		p.claimed = time.UnixMilli(claimed).UTC()
	}
	rest, more := strings.CutPrefix(parts[2], "~")
	if !more {
		return p, nil
	}
	fields := strings.SplitN(rest, "~", 4)
	if len(fields) != 4 {
		return position{}, malformed
	}
	drained, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return position{}, malformed
	}
	if drained != 0 {
		p.drained = time.UnixMilli(drained).UTC()
	}
	t := &p.tally
	if _, err := fmt.Sscanf(fields[2], "%d,%d,%d,%d,%d,%d", &t.runs, &t.copies, &t.succeeded, &t.failed, &t.skipped, &t.open); err != nil {
		return position{}, malformed
	}
	p.phase, p.cursor = fields[0], fields[3]
	return p, nil
}
