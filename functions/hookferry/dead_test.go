package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"hookferry/shared/relay"
)

// Letters are read in pages of 1,000. One that lies behind the first page is found
// by its ID all the same.
func TestADeadLetterIsFoundHoweverManyThereAre(t *testing.T) {
	dir := dataDir(t)
	db := openStore(t, dir, time.Now)
	q := db.Queue("events")
	const n = 2105
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			err := q.Bury(t.Context(), relay.Received{Receipt: "0.0", Body: fmt.Appendf(nil, `{"number":%d}`, i)}, "for a test")
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	dead := func(verb, id string) string { return output(t, nil, "dead", verb, "-data", dir, "-id", id) }
	for _, id := range []string{"1", "1000", "1001", fmt.Sprint(n)} {
		if out := dead("show", id); !strings.Contains(out, fmt.Sprintf(`"id": %q`, id)) {
			t.Errorf("show %s: %s", id, out)
		}
	}
	if out := dead("drop", fmt.Sprint(n)); !strings.Contains(out, "1 dead letters dropped") {
		t.Errorf("drop: %s", out)
	}
	if out := dead("redrive", fmt.Sprint(n-1)); !strings.Contains(out, "1 dead letters put back") {
		t.Errorf("redrive: %s", out)
	}
	if left, err := q.DeadCount(t.Context()); err != nil || left != n-2 {
		t.Errorf("%d are left, %v; want %d", left, err, n-2)
	}
	if said := refused(t, nil, "dead", "show", "-data", dir, "-id", "999999"); !strings.Contains(said, "no dead letter 999999") {
		t.Errorf("one that is not there: %s", said)
	}
}
