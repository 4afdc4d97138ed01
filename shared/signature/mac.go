package signature

import (
	"crypto/sha256"
	"crypto/subtle"
	"hash"
	"sync"

	"hookferry/shared/relay"
)

// A work holds what signing or verifying needs, so that nothing is allocated for
// it: a hash that is reset, and the memory for keys and texts. One comes from
// works and goes back there with its keys wiped.
type work struct {
	hash       hash.Hash                        // SHA-256
	pad        [sha256.BlockSize + sumSize]byte // of the key, and the inner sum
	keys       [][]byte                         // parts of memory
	memory     []byte
	text       []byte
	head       []byte
	out        []byte
	sum        sum
	candidates [MaxSignatures]sum
}

var works = sync.Pool{New: func() any { return &work{hash: sha256.New(), memory: make([]byte, 0, 2*MaxRivyaSecret)} }}

func newWork() *work { return works.Get().(*work) }

func (w *work) done() {
	clear(w.memory)
	clear(w.text[:cap(w.text)])
	clear(w.pad[:])
	// Its state after the outer pad stands for the key.
	w.hash.Reset()
	w.keys, w.memory, w.text, w.head, w.out = w.keys[:0], w.memory[:0], w.text[:0], w.head[:0], w.out[:0]
	works.Put(w)
}

// readKeys decodes each secret into keys, or fails if there is no secret or a
// single one is unusable. A decoder appends the key to w.memory.
func (w *work) readKeys(secrets []relay.Secret, decode func(*work, relay.Secret) error) error {
	if len(secrets) == 0 {
		return ErrNoSecret
	}
	for _, s := range secrets {
		start := len(w.memory)
		if err := decode(w, s); err != nil {
			return err
		}
		// Memory that has grown leaves the keys before it where they are.
		w.keys = append(w.keys, w.memory[start:len(w.memory):len(w.memory)])
	}
	return nil
}

// setHead sets what is signed before the body: the id, if there is one, and the
// timestamp, each with a full stop behind it.
func (w *work) setHead(id string) {
	if w.head = w.head[:0]; id != "" {
		w.head = append(append(w.head, id...), '.')
	}
}

// The pads of RFC 2104, and what makes the second of the first.
var innerPad, otherPad [sha256.BlockSize]byte

func init() {
	for i := range innerPad {
		innerPad[i], otherPad[i] = 0x36, 0x36^0x5c
	}
}

// mac sets w.sum to the HMAC-SHA256 (RFC 2104) of head and body. The standard
// library's cannot be given another key, and so allocates for each.
func (w *work) mac(key, body []byte) {
	if len(key) > sha256.BlockSize {
		short := sha256.Sum256(key)
		key = append(w.text[:0], short[:]...)
	}
	pad := w.pad[:sha256.BlockSize]
	copy(pad, innerPad[:])
	subtle.XORBytes(pad, pad, key)
	w.hash.Reset()
	w.hash.Write(pad)
	w.hash.Write(w.head)
	w.hash.Write(body)
	w.hash.Sum(pad)
	subtle.XORBytes(pad, pad, otherPad[:])
	w.sum = sha256.Sum256(w.pad[:])
}

// match reports whether one of the first n candidates is the HMAC under one of
// the keys. It looks at all of both.
func (w *work) match(n int, body []byte) bool {
	found := 0
	for _, key := range w.keys {
		w.mac(key, body)
		for i := range n {
			found |= subtle.ConstantTimeCompare(w.candidates[i][:], w.sum[:])
		}
	}
	return found == 1
}
