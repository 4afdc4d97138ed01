package functions

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"hookferry/shared/relay"
)

// TestATimeoutInTheMiddleOfABatchLosesNothing: Lambda ends an invocation that is
// over its time by killing the process.
func TestATimeoutInTheMiddleOfABatchLosesNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t, "DELIVERY_TIMEOUT=3s")
	s.invocation, s.visibility = 10*time.Second, 2*time.Second
	hang, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	dest := newDestination(t, func(_ int, p post) int {
		first := false
		if p.event() == "evt_hangs" {
			once.Do(func() { first = true })
		}
		if first {
			close(hang)
			<-release
		}
		return 200
	})
	defer close(release)
	s.endpoint(t, "one", dest.URL)
	ids := []string{"evt_1", "evt_hangs", "evt_2"}
	s.accept(t, ids...)
	batch := s.receive(t, s.urls.Events, time.Second, s.visibility)
	if len(batch.Records) != 3 {
		t.Fatalf("%d messages, want 3", len(batch.Records))
	}
	ended := make(chan error, 1)
	victim := s.dispatcher
	go func() {
		_, err := victim.try(batch, s.invocation)
		ended <- err
	}()
	<-hang
	for end := time.Now().Add(2 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if s.recorded(t, "evt_1", 1) == "" && s.recorded(t, "evt_2", 1) == "" {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the others are not on record while one hangs")
		}
	}
	if err := victim.process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Fatal("the invocation ended well: nothing was killed in its middle")
	}
	if wrong := s.recorded(t, "evt_hangs", 1); wrong == "" {
		t.Fatal("the attempt that hung is on record")
	}

	// The next instance gets the whole batch, and waits for the claims to end.
	s.dispatcher = startLoopback(t, "dispatcher", s.env)
	s.until(t, 40*time.Second, func() string { return s.is(t, "delivered", ids...) })
	s.drain(t, 30*time.Second)
	for id, want := range map[string]int{"evt_1": 1, "evt_2": 1, "evt_hangs": 2} {
		if n := len(dest.posts(id)); n != want {
			t.Errorf("%s: %d calls, want %d", id, n, want)
		}
		if as := s.attempts(t, id); len(as) != 1 || as[0].Status != relay.AttemptSucceeded || as[0].Number != 1 {
			t.Errorf("%s: on record: %+v", id, as)
		}
	}
}

func TestWhatAnInvocationHasNoTimeForIsDoneByTheNextWithoutWaitingForItsVisibility(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	dest := newDestination(t, nil)
	s.endpoint(t, "one", dest.URL)
	s.accept(t, "evt_1", "evt_2")
	batch := s.receive(t, s.urls.Events, time.Second, 10*time.Minute)
	out := s.dispatcher.invoke(t, batch, 4*time.Second) // under the 1 s of a call and the 5 s after it
	if failed := s.finish(t, s.urls.Events, batch, out); out.failed || len(failed) > 0 || len(batch.Records) != 2 {
		t.Fatalf("got %s for %d messages", out.payload, len(batch.Records))
	}
	if n := len(dest.posts("")); n != 0 {
		t.Fatalf("%d calls were started in an invocation that could not have ended them", n)
	}
	s.until(t, 5*time.Second, func() string { return s.is(t, "delivered", "evt_1", "evt_2") })
	s.drain(t, 5*time.Second)
	if n := len(dest.posts("")); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
}

// TestAFunctionThatDiesInEveryBatchLosesNothing: real processes, each
// killed at a later moment of its batch than the one before.
func TestAFunctionThatDiesInEveryBatchLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute; run without -short")
	}
	t.Parallel()
	s := newStage(t)
	s.invocation, s.visibility = 8*time.Second, 2*time.Second
	dest := newDestination(t, nil)
	s.endpoint(t, "one", dest.URL)
	var ids []string
	for i := range 60 {
		ids = append(ids, fmt.Sprintf("evt_%02d", i))
	}
	s.accept(t, ids...)
	kills := 0
	for wait := time.Millisecond; kills < 6; wait += 4 * time.Millisecond {
		batch := s.receive(t, s.urls.Events, 0, s.visibility)
		if len(batch.Records) == 0 {
			break
		}
		victim := s.dispatcher
		victim.await(t)
		time.AfterFunc(wait, func() { victim.process.Kill() })
		out, err := victim.try(batch, s.invocation)
		if err == nil {
			s.finish(t, s.urls.Events, batch, out)
		}
		<-victim.exited
		kills++
		s.dispatcher = startLoopback(t, "dispatcher", s.env)
	}
	s.until(t, 60*time.Second, func() string {
		missing := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return len(dest.posts(id)) > 0 })
		if len(missing) > 0 {
			return fmt.Sprintf("%d events have not arrived: %v", len(missing), missing)
		}
		return ""
	})
	s.drain(t, 40*time.Second)
	if wrong := s.is(t, "delivered", ids...); wrong != "" {
		t.Error(wrong)
	}
	twice := 0
	for _, id := range ids {
		if len(dest.posts(id)) > 1 {
			twice++
		}
	}
	// Each kill can cost what one batch had under way, and no more.
	if twice > 10*kills {
		t.Errorf("%d events came twice after %d kills", twice, kills)
	}
	t.Logf("ledger: %d accepted = %d delivered, %d twice, %d processes killed", len(ids), len(ids), twice, kills)
}
