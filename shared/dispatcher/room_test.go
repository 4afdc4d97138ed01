package dispatcher

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

var inTime <-chan struct{} // the time for calls is never over

// prove makes a place one that answers.
func prove(t *testing.T, r *rooms, account, to string) {
	t.Helper()
	if in, _ := r.enter(account, to, inTime); !in {
		t.Fatalf("%s has no room for its first call", to)
	}
	r.leave(account, to, endedWell)
}

func TestWhoHangsLeavesRoomForWhoAnswers(t *testing.T) {
	for _, size := range []int{5, 20, 128, 406, 2048} {
		for _, hogs := range []int{1, 3, 50} {
			t.Run(fmt.Sprintf("%d of %d calls", hogs, size), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRooms(size, rand.N[time.Duration])
					prove(t, r, "other", "healthy")
					prove(t, r, "hog0", "healthy")
					taken := 0
					for round := range 120 {
						for h := range hogs {
							if in, _ := r.enter(fmt.Sprint("hog", h), fmt.Sprint("hangs", round%100), inTime); in {
								taken++
							}
							time.Sleep(time.Millisecond)
						}
					}
					if taken == 0 || taken > size-(size+keptPart-1)/keptPart {
						t.Errorf("calls that hang hold %d of %d", taken, size)
					}
					for _, account := range []string{"other", "hog0"} {
						if in, _ := r.enter(account, "healthy", inTime); !in {
							t.Errorf("no room for an endpoint of %s that answers, beside %d calls that hang", account, taken)
						} else {
							r.leave(account, "healthy", endedWell)
						}
					}
					if size >= 128 && hogs < 50 {
						if in, _ := r.enter("new", "new", inTime); !in {
							t.Errorf("no room for a new account, beside %d calls that hang", taken)
						}
					}
				})
			})
		}
	}
}

func TestOneEndpointThatHangsHasAShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRooms(406, rand.N[time.Duration])
		var in int
		for range 5000 {
			if ok, wait := r.enter("a", "hangs", inTime); ok {
				in++
			} else if wait < minHold || wait > maxHold {
				t.Fatalf("put off for %v", wait)
			}
		}
		if in > 406/8 {
			t.Errorf("%d of 406 calls hang at one endpoint", in)
		}
		// Its calls time out one by one, and it has even less.
		for range in {
			r.leave("a", "hangs", endedSilence)
		}
		in = 0
		for range 100 {
			if ok, _ := r.enter("a", "hangs", inTime); ok {
				in++
			}
		}
		if in != 1 {
			t.Errorf("%d calls in flight to an endpoint that timed out, want 1", in)
		}
		r.leave("a", "hangs", endedWell)
		for in = 0; in < 1000; in++ {
			if ok, _ := r.enter("a", "hangs", inTime); !ok {
				break
			}
		}
		if in < 50 {
			t.Errorf("%d calls in flight to an endpoint that answers again", in)
		}
	})
}

func TestACallWaitsForRoomWhileItsEndpointAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRooms(8, rand.N[time.Duration])
		prove(t, r, "a", "e")
		held := 0
		for {
			start := time.Now()
			if in, wait := r.enter("a", "e", inTime); in {
				held++
				continue
			} else if took := time.Since(start); wait == 0 || took < stallAfter || took > patience+lookAgain {
				t.Errorf("put off by %v after %v, while nothing is answered", wait, took)
			}
			break
		}
		start := time.Now()
		if in, _ := r.enter("a", "e", inTime); in || time.Since(start) > 0 {
			t.Error("a call waited for an endpoint that is known to hang")
		}
		r.leave("a", "e", endedWell)
		if in, _ := r.enter("a", "e", inTime); !in {
			t.Fatal("no room after a call has ended")
		}
		go func() {
			time.Sleep(100 * time.Millisecond)
			r.leave("a", "e", endedBadly)
		}()
		if in, wait := r.enter("a", "e", inTime); !in {
			t.Errorf("put off by %v while calls are answered", wait)
		}
		late := make(chan struct{})
		go func() {
			time.Sleep(100 * time.Millisecond)
			close(late)
		}()
		if in, wait := r.enter("a", "e", late); in || wait != 0 {
			t.Errorf("got %v, %v when the time was over", in, wait)
		}
	})
}

func TestWhatFindsNoRoomDoesNotComeBackTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRooms(128, rand.N[time.Duration])
		for in := true; in; in, _ = r.enter("a", "hangs", inTime) {
		}
		bySecond := map[time.Duration]int{}
		for range 5000 {
			_, wait := r.enter("a", "hangs", inTime)
			bySecond[wait.Truncate(time.Second)]++
		}
		for second, n := range bySecond {
			if n > 400 {
				t.Errorf("%d calls of 5,000 are put off to the same second, %v", n, second)
			}
		}
	})
}

func TestPlacesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRooms(8, rand.N[time.Duration])
		prove(t, r, "a", "e")
		time.Sleep(2*forgetAfter + time.Second)
		prove(t, r, "b", "e")
		if len(r.accounts) != 1 {
			t.Errorf("%d accounts are kept", len(r.accounts))
		}
	})
}
