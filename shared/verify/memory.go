package verify

import (
	"context"
	"sync"
)

// Memory is a Once that remembers the newest keys in this process alone: enough
// for one process that may handle an event again after a restart. It is safe for
// concurrent use.
type Memory struct {
	mu      sync.Mutex
	handled map[string]bool
	order   []string // a ring of the keys in handled, oldest at next
	next    int
	running map[string]chan struct{} // closed when the call that handles the key ends
}

// NewMemory returns a Memory of the newest size keys; size is at least 1.
func NewMemory(size int) *Memory {
	size = max(size, 1)
	return &Memory{handled: make(map[string]bool, size), order: make([]string, size), running: map[string]chan struct{}{}}
}

// Once implements Once. It returns ctx's error if ctx ends while another call
// handles the same key.
func (m *Memory) Once(ctx context.Context, key string, handle func() error) error {
	for {
		m.mu.Lock()
		if m.handled[key] {
			m.mu.Unlock()
			return nil
		}
		other, busy := m.running[key]
		if !busy {
			break
		}
		m.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	done := make(chan struct{})
	m.running[key] = done
	m.mu.Unlock()

	handled := false
	defer func() { // also when handle panics
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.running, key)
		if handled {
			m.remember(key)
		}
		close(done)
	}()
	err := handle()
	handled = err == nil
	return err
}

// remember puts the key in the place of the oldest.
func (m *Memory) remember(key string) {
	delete(m.handled, m.order[m.next])
	m.handled[key] = true
	m.order[m.next] = key
	m.next = (m.next + 1) % len(m.order)
}
