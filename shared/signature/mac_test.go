package signature

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"strconv"
	"sync"
	"testing"
	"time"

	"hookferry/shared/relay"
)

// FuzzMAC: whatever key, head and body are, and whatever the memory was used for
// before, the sum is the standard library's.
func FuzzMAC(f *testing.F) {
	for _, n := range []int{0, 1, 32, 63, 64, 65, 256} {
		f.Add(bytes.Repeat([]byte("k"), n), []byte("head"), bytes.Repeat([]byte("b"), n))
	}
	w := newWork()
	f.Fuzz(func(t *testing.T, key, head, body []byte) {
		w.head = append(w.head[:0], head...)
		w.mac(key, body)
		want := hmac.New(sha256.New, key)
		want.Write(head)
		want.Write(body)
		if !hmac.Equal(want.Sum(nil), w.sum[:]) {
			t.Errorf("key %x, head %x, body %x", key, head, body)
		}
	})
}

// Signing allocates what it returns, and verifying nothing.
func TestWhatSigningAllocates(t *testing.T) {
	body, now := bytes.Repeat([]byte("x"), 1024), time.Unix(ts, 0)
	for _, k := range kinds {
		header, err := k.sign(ts, body, secretA)
		if err != nil {
			t.Fatal(err)
		}
		if n := leastAllocs(func() { _, _ = k.sign(ts, body, secretA) }); n > 2 {
			t.Errorf("%s: signing allocates %v times", k.name, n)
		}
		if n := leastAllocs(func() { _ = k.verify(header, stamp, body, now, secretA) }); n > 2 {
			t.Errorf("%s: verifying allocates %v times", k.name, n)
		}
	}
}

// leastAllocs returns how often f allocates when it finds memory to reuse: the race
// detector and a collection make it find none at times.
func leastAllocs(f func()) float64 {
	least := testing.AllocsPerRun(1, f)
	for range 50 {
		least = min(least, testing.AllocsPerRun(1, f))
	}
	return least
}

// What is reused carries nothing over: many sign at once, each with keys of its
// own, and nobody gets another's signature.
func TestManySignAtOnce(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			secret := relay.Secret("secret number " + strconv.Itoa(i))
			for n := range 200 {
				body := []byte(strconv.Itoa(n * i))
				header, err := SignRivya(ts, body, secret)
				if err == nil {
					err = VerifyRivya(header, stamp, body, time.Unix(ts, 0), secret)
				}
				if err != nil {
					t.Errorf("%d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	w := newWork()
	defer w.done()
	if len(w.keys)+len(w.memory)+len(w.out)+len(w.head) != 0 || !bytes.Equal(w.memory[:cap(w.memory)], make([]byte, cap(w.memory))) {
		t.Error("what was used is not wiped")
	}
}
