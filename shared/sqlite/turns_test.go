package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hookferry/shared/relay"
	"hookferry/shared/relay/relaytest"
)

// fill sends n messages of a turn, named by it and their number.
func fill(t *testing.T, q *Queue, account, group string, n int) {
	t.Helper()
	for sent := 0; sent < n; {
		var msgs []relay.Outgoing
		for ; len(msgs) < 1000 && sent < n; sent++ {
			msgs = append(msgs, relay.Outgoing{Account: account, Group: group, Body: fmt.Appendf(nil, "%s %s %d", account, group, sent)})
		}
		if err := q.Send(t.Context(), msgs...); err != nil {
			t.Fatal(err)
		}
	}
}

func bodies(msgs []relay.Received) (bs []string) {
	for _, m := range msgs {
		bs = append(bs, string(m.Body))
	}
	return bs
}

func TestAccountsAndTheirGroupsTakeTurns(t *testing.T) {
	q := open(t, Config{}).Queue("retries")
	fill(t, q, "flood", "one", 500)
	for i := range 50 {
		fill(t, q, "flood", fmt.Sprintf("ep%d", i), 10)
	}
	fill(t, q, "crowd", "one", 300)
	fill(t, q, "crowd", "two", 2)
	fill(t, q, "quiet", "one", 1)
	got := bodies(receive(t, q, time.Hour))
	count := func(prefix string) (n int) {
		for _, b := range got {
			if strings.HasPrefix(b, prefix) {
				n++
			}
		}
		return n
	}
	if len(got) != 10 || count("quiet") != 1 || count("flood") > 5 || count("crowd") > 5 || count("crowd two") != 2 {
		t.Errorf("one receive gave %q, want the quiet one's message and the others in turn", got)
	}
	// What comes late comes next, whatever waits.
	fill(t, q, "late", "one", 1)
	if got := bodies(receive(t, q, time.Hour)); !slices.Contains(got, "late one 0") {
		t.Errorf("the next receive gave %q, want the message that came last", got)
	}
}

func TestAGroupKeepsItsOrder(t *testing.T) {
	clock := relaytest.NewClock()
	q := open(t, Config{Now: clock.Now}).Queue("events")
	fill(t, q, "a", "one", 15)
	fill(t, q, "b", "one", 15)
	if err := q.Send(t.Context(), relay.Outgoing{Account: "a", Group: "one", Body: []byte("a one late"), Delay: time.Second}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 2 {
		for msgs := receive(t, q, time.Hour); len(msgs) > 0; msgs = receive(t, q, time.Hour) {
			for _, b := range bodies(msgs) {
				if strings.HasPrefix(b, "a ") {
					got = append(got, b)
				}
			}
		}
		clock.Advance(time.Second)
	}
	var want []string
	for i := range 15 {
		want = append(want, fmt.Sprintf("a one %d", i))
	}
	if want = append(want, "a one late"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAReceiveCostsTheSameHoweverManyWait(t *testing.T) {
	if testing.Short() {
		t.Skip("100,000 messages are sent")
	}
	db := open(t, Config{})
	q := db.Queue("retries")
	cost := func() (statements, rows int64) {
		t.Helper()
		statements, rows = db.w.c.statements, db.w.c.rows
		if got := receive(t, q, time.Hour); len(got) != relay.MaxBatch {
			t.Fatalf("received %d messages", len(got))
		}
		return db.w.c.statements - statements, db.w.c.rows - rows
	}
	fill(t, q, "a", "one", 100)
	cost() // the first receive looks for what was there before
	few, fewRows := cost()
	fill(t, q, "a", "one", 60_000)
	for i := range 400 {
		fill(t, q, fmt.Sprintf("b%d", i%20), fmt.Sprintf("ep%d", i), 100)
	}
	cost()
	many, manyRows := cost()
	t.Logf("a receive of 10: %d statements and %d rows with 100 messages waiting, %d and %d with 100,000", few, fewRows, many, manyRows)
	// 10 updates; one select for each turn served, with a row more than it gives.
	if most := int64(relay.MaxBatch*2 + 2*laterLook); many > most || manyRows > 2*relay.MaxBatch+laterLook {
		t.Errorf("a receive ran %d statements and read %d rows, want at most %d and %d", many, manyRows, most, 2*relay.MaxBatch+laterLook)
	}
	for query, want := range map[string]string{
		"SELECT id FROM messages m WHERE m.lane = ? AND m.account = ? AND m.grp = ? ORDER BY m.visible_at, m.id": "(lane=? AND account=? AND grp=?)",
		nextGroup:   "(lane=? AND account=? AND grp>?)",
		nextAccount: "(lane=? AND account>?)",
	} {
		var plan string
		if err := db.read(t.Context(), func(c *conn) error {
			args := []any{"x", "a", "g"}[:strings.Count(query, "?")]
			return c.each("EXPLAIN QUERY PLAN "+query, func(r row) error { plan += r.text(3); return nil }, args...)
		}); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(plan, "messages_in_turn "+want) {
			t.Errorf("%s: %s", query, plan)
		}
	}
}

func TestWhatAnotherProcessSendsHasItsTurn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hookferry.db")
	clock := relaytest.NewClock()
	q := open(t, Config{Path: path, Now: clock.Now}).Queue("events")
	fill(t, q, "flood", "one", 1000)
	receive(t, q, time.Hour)
	fill(t, open(t, Config{Path: path, Now: clock.Now}).Queue("events"), "other", "one", 1)
	var got []string
	for range 4 {
		clock.Advance(lookEvery * time.Millisecond)
		got = append(got, bodies(receive(t, q, time.Hour))...)
	}
	if !slices.Contains(got, "other one 0") {
		t.Errorf("four receives gave nothing of the other process's: %q", got)
	}
}

func TestTurnsSurviveATransactionThatIsUndone(t *testing.T) {
	db := open(t, Config{})
	q := db.Queue("events")
	fill(t, q, "a", "one", 3)
	ctx, cancel := context.WithCancel(t.Context())
	// The receive's work is done, and then the transaction fails.
	err := db.w.relaxed(ctx, func(c *conn) error {
		tk := taking{c: c, lane: "events", now: db.now(), visibility: time.Hour, limit: 10}
		if err := q.lane.turns.serve(&tk); err != nil {
			return err
		}
		return relay.ErrConflict
	})
	cancel()
	if err == nil {
		t.Fatal("the transaction did not fail")
	}
	if got := receive(t, q, time.Hour); len(got) != 3 {
		t.Errorf("received %q, want all three", bodies(got))
	}
}

func TestADeadLetterKeepsItsTurn(t *testing.T) {
	db := open(t, Config{})
	q := db.Queue("events")
	fill(t, q, "a", "one", 1)
	m := receive(t, q, time.Hour)[0]
	if err := q.Bury(t.Context(), m, "bad"); err != nil {
		t.Fatal(err)
	}
	if err := q.Delete(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	dead, err := q.Dead(t.Context(), "", 1)
	if err != nil || len(dead) != 1 {
		t.Fatal(dead, err)
	}
	if err := q.Redrive(t.Context(), dead[0]); err != nil {
		t.Fatal(err)
	}
	var of turn
	if err := db.read(t.Context(), func(c *conn) error {
		_, err := c.first("SELECT account, grp FROM messages", func(r row) error { of = turn{r.text(0), r.text(1)}; return nil })
		return err
	}); err != nil || of != (turn{"a", "one"}) {
		t.Errorf("it came back as %v, %v", of, err)
	}
}
