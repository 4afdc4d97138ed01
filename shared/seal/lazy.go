package seal

import (
	"fmt"
	"sync"
	"time"

	"hookferry/shared/relay"
)

// An Opener opens sealed secrets: a Keyring that is in hand, or a Lazy one that
// is read when it is first needed.
type Opener interface {
	// Open decrypts what was sealed for the place. An error that is not ErrOpen
	// means that the keyring could not be had just now.
	Open(s relay.Sealed, p Place) (relay.Secret, error)
	// Ring returns the whole keyring, for what is derived from its keys.
	Ring() (*Keyring, error)
}

// Ring returns r: a keyring that is in hand is an Opener.
func (r *Keyring) Ring() (*Keyring, error) { return r, nil }

// restAfterFailure is how long a Lazy keyring that could not be read is not
// asked for again, so that a burst of calls does not wait for the same silence
// one after the other.
const restAfterFailure = time.Second

// A Lazy is a keyring that is read when it is first needed, and read again after
// a failure. It is safe for concurrent use.
type Lazy struct {
	load func() (*Keyring, error)
	now  func() time.Time

	mu       sync.Mutex
	ring     *Keyring
	err      error
	failedAt time.Time
}

// NewLazy returns a keyring that load reads, which must end in bounded time.
func NewLazy(load func() (*Keyring, error), now func() time.Time) *Lazy {
	return &Lazy{load: load, now: now}
}

// Ring returns the keyring, and reads it if that has not been done. While one
// caller reads it the others wait.
func (l *Lazy) Ring() (*Keyring, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ring != nil {
		return l.ring, nil
	}
	if age := l.now().Sub(l.failedAt); l.err != nil && age >= 0 && age < restAfterFailure {
		return nil, l.err
	}
	if l.ring, l.err = l.load(); l.err != nil {
		l.ring, l.failedAt = nil, l.now()
		return nil, l.err
	}
	return l.ring, nil
}

// Open implements Opener. An empty Sealed needs no keyring.
func (l *Lazy) Open(s relay.Sealed, p Place) (relay.Secret, error) {
	if s == "" {
		return "", nil
	}
	ring, err := l.Ring()
	if err != nil {
		return "", fmt.Errorf("open %s of %s: %w", p.Field, p.Object, err)
	}
	return ring.Open(s, p)
}
