package sqlite

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hookferry/shared/relay"
)

// TestMain runs one of children instead of the tests when it is asked to: the
// test binary is the other process.
func TestMain(m *testing.M) {
	name := os.Getenv("HOOKFERRY_TEST_CHILD")
	if name == "" {
		os.Exit(m.Run())
	}
	if err := children[name](context.Background(), os.Getenv("HOOKFERRY_TEST_PATH")); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

var children = map[string]func(context.Context, string) error{
	// Opens exclusively, and says what came of it.
	"take": func(ctx context.Context, path string) error {
		db, err := Open(ctx, Config{Path: path, Exclusive: true})
		if err != nil {
			return err
		}
		return db.Close()
	},
	// Makes accounts and keys, as hookferry keys does, and sends messages.
	"keys": func(ctx context.Context, path string) error {
		for i := range 20 {
			db, err := Open(ctx, Config{Path: path})
			if err != nil {
				return err
			}
			id := fmt.Sprintf("child-%02d", i)
			if err := db.CreateAccount(ctx, relay.Account{ID: id, Name: id, CreatedAt: time.Now()}); err != nil {
				return err
			}
			if err := db.CreateKey(ctx, relay.Key{
				ID: "key_" + id, Account: id, Hash: relay.HashSecret(relay.Secret(id)),
				CreatedAt: time.Now(),
			}, 10); err != nil {
				return err
			}
			if err := db.Queue("events").Send(ctx, message(id)); err != nil {
				return err
			}
			if err := db.Close(); err != nil {
				return err
			}
		}
		return nil
	},
	// Receives a message and puts an event, claimed, and then hangs.
	"hang": func(ctx context.Context, path string) error {
		db, err := Open(ctx, Config{Path: path, Exclusive: true})
		if err != nil {
			return err
		}
		q := db.Queue("events")
		if err := q.Send(ctx, message("in flight"), message("hidden"), relay.Outgoing{Body: []byte("delayed"), Delay: time.Minute}); err != nil {
			return err
		}
		got, err := q.Receive(ctx, 10, 0, time.Hour)
		if err != nil || len(got) != 2 {
			return fmt.Errorf("received %d: %w", len(got), err)
		}
		if err := q.Hide(ctx, got[1], time.Hour); err != nil {
			return err
		}
		if _, err := db.PutEvent(ctx, relay.EventRecord{
			Event: relay.Event{ID: "evt_1", Account: "acct_1", CreatedAt: time.Now()},
			MID:   "mid", ClaimedUntil: time.Now().Add(time.Hour),
		}); err != nil {
			return err
		}
		fmt.Println("hanging")
		select {}
	},
	// Sends from 16 goroutines until it is killed, and prints each message once
	// it is acknowledged.
	"send": func(ctx context.Context, path string) error {
		db, err := Open(ctx, Config{Path: path, Exclusive: true})
		if err != nil {
			return err
		}
		q := db.Queue("events")
		errs := make(chan error)
		for range 16 {
			go func() {
				for {
					id := relay.NewMID()
					if err := q.Send(ctx, message(id+strings.Repeat(" ", 1000))); err != nil {
						errs <- err
						return
					}
					if _, err := os.Stdout.WriteString(id + "\n"); err != nil {
						errs <- err
						return
					}
				}
			}()
		}
		return <-errs
	},
}

// start runs a child on the file. It is killed when the test ends.
func start(t *testing.T, name, path string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), "HOOKFERRY_TEST_CHILD="+name, "HOOKFERRY_TEST_PATH="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewReader(out)
}

func TestAnotherProcessMayWorkOnTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hookferry.db")
	db := open(t, Config{Path: path, Exclusive: true})

	cmd, out := start(t, "take", path)
	said, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(string(said), ErrInUse.Error()) ||
		!strings.Contains(string(said), fmt.Sprint(os.Getpid())) {
		t.Errorf("a second relay said %q (%v), want that the file is in use by process %d", said, err, os.Getpid())
	}

	q := db.Queue("events")
	cmd, out = start(t, "keys", path)
	stop, mine := make(chan struct{}), 0
	var wg sync.WaitGroup
	wg.Go(func() { // this process goes on writing
		for ; ; mine++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := q.Send(t.Context(), message("mine")); err != nil {
				t.Error(err)
				return
			}
		}
	})
	said, err = io.ReadAll(out)
	if err := errors.Join(err, cmd.Wait()); err != nil {
		t.Errorf("the other process: %v: %s", err, said)
	}
	close(stop)
	wg.Wait()
	for i := range 20 {
		id := fmt.Sprintf("child-%02d", i)
		if _, err := db.AccountByName(t.Context(), id); err != nil {
			t.Error(err)
		}
		if k, err := db.KeyByHash(t.Context(), relay.HashSecret(relay.Secret(id))); err != nil || k.Account != id {
			t.Errorf("key of %s: %v, %v", id, k.Account, err)
		}
	}
	if got := len(received(t, q)); got != mine+20 {
		t.Errorf("received %d messages, want %d of this and 20 of the other process", got, mine)
	}
}

func TestAMessageOfAnotherProcessEndsAWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hookferry.db")
	q := open(t, Config{Path: path, Exclusive: true}).Queue("events")
	got := make(chan int)
	go func() {
		msgs, err := q.Receive(t.Context(), 1, 20*time.Second, time.Minute)
		if err != nil {
			t.Error(err)
		}
		got <- len(msgs)
	}()
	cmd, _ := start(t, "keys", path)
	if n := <-got; n != 1 {
		t.Errorf("received %d messages, want 1", n)
	}
	cmd.Wait()
}

func TestKillLosesNothingAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hookferry.db")
	var acknowledged []string
	for range 3 {
		cmd, out := start(t, "send", path)
		round := 0
		for {
			line, err := out.ReadString('\n')
			if err != nil {
				break // the last line may be cut
			}
			acknowledged = append(acknowledged, strings.TrimSpace(line))
			if round++; round == 1 { // in the midst of sending, however long it took to begin
				time.AfterFunc(200*time.Millisecond, func() { cmd.Process.Kill() })
			}
		}
		if err := cmd.Wait(); err == nil || round == 0 {
			t.Fatalf("the sender ended with %v after %d messages", err, round)
		}
	}
	var got []string
	for _, body := range received(t, open(t, Config{Path: path, Exclusive: true}).Queue("events")) {
		got = append(got, strings.TrimSpace(body))
	}
	lost := 0
	for _, id := range acknowledged {
		if _, ok := slices.BinarySearch(got, id); !ok {
			lost++
		}
	}
	if lost > 0 || len(slices.Compact(got)) != len(got) {
		t.Errorf("of %d acknowledged messages %d are lost", len(acknowledged), lost)
	}
	t.Logf("%d messages acknowledged before three kills, %d received", len(acknowledged), len(got))
}

func TestAKilledProcessHoldsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hookferry.db")
	cmd, out := start(t, "hang", path)
	if line, err := out.ReadString('\n'); err != nil || line != "hanging\n" {
		t.Fatalf("%q, %v", line, err)
	}
	look := open(t, Config{Path: path})
	if got := received(t, look.Queue("events")); len(got) > 0 {
		t.Errorf("visible while the process lives: %q", got)
	}
	if e, err := look.Event(t.Context(), "acct_1", "evt_1", true); err != nil || e.ClaimedUntil.IsZero() {
		t.Errorf("claimed until %v while the process lives, %v", e.ClaimedUntil, err)
	}
	cmd.Process.Kill()
	cmd.Wait()

	db := open(t, Config{Path: path, Exclusive: true})
	if got := received(t, db.Queue("events")); !slices.Equal(got, []string{"in flight"}) {
		t.Errorf("visible after the restart: %q, want what was in flight, not what was hidden or delayed", got)
	}
	e, err := db.Event(t.Context(), "acct_1", "evt_1", true)
	if err != nil || !e.ClaimedUntil.IsZero() {
		t.Errorf("claimed until %v after the restart, %v", e.ClaimedUntil, err)
	}
	until := relay.Millis(time.Now().Add(time.Minute))
	if err := db.ClaimEvent(t.Context(), e.Ref(), e.ClaimedUntil, until); err != nil {
		t.Error(err)
	}
	if e, err := db.Event(t.Context(), "acct_1", "evt_1", true); err != nil || !e.ClaimedUntil.Equal(until) {
		t.Errorf("claimed until %v, want %v; %v", e.ClaimedUntil, until, err)
	}
}
