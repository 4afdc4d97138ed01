package seal

import (
	"errors"
	"testing"
	"time"
)

func TestALazyKeyringIsReadWhenItIsFirstNeededAndAgainAfterAFailure(t *testing.T) {
	now := time.Unix(1778457600, 0)
	ring, out := Generate(), errors.New("out of reach")
	loads, fail := 0, true
	l := NewLazy(func() (*Keyring, error) {
		if loads++; fail {
			return nil, out
		}
		return ring, nil
	}, func() time.Time { return now })
	place := Place{Account: "acct_1", Object: "src_1", Field: Token}
	sealed := ring.Seal("a secret", place)
	if s, err := l.Open("", place); s != "" || err != nil || loads != 0 {
		t.Errorf("nothing to open: %v, %d loads", err, loads)
	}
	for range 3 {
		if _, err := l.Open(sealed, place); !errors.Is(err, out) || errors.Is(err, ErrOpen) {
			t.Errorf("got %v, want %v", err, out)
		}
	}
	if loads != 1 {
		t.Errorf("%d loads within a second, want 1", loads)
	}
	now, fail = now.Add(restAfterFailure), false
	for range 3 {
		if s, err := l.Open(sealed, place); err != nil || s.Reveal() != "a secret" {
			t.Errorf("got %v", err)
		}
	}
	if loads != 2 {
		t.Errorf("%d loads, want 2", loads)
	}
	other := place
	other.Object = "src_2"
	if _, err := l.Open(sealed, other); !errors.Is(err, ErrOpen) {
		t.Errorf("another place: got %v, want %v", err, ErrOpen)
	}
}
