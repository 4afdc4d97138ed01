package relay

import (
	"bytes"
	"compress/flate"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// sizes are bodies around the bounds of a block and of a payload.
func sizes() (all [][]byte) {
	random := rand.NewChaCha8([32]byte{1})
	for _, n := range []int{1, 2, 1000, maxStored - 1, maxStored, maxStored + 1, 2 * maxStored, 2*maxStored + 1, MaxPayload} {
		body := make([]byte, n)
		random.Read(body)
		all = append(all, body, bytes.Repeat([]byte("a"), n))
	}
	return all
}

// What StorePayload makes is a stream that everything reads which reads a deflated
// one, an older version of this program too.
func TestAPayloadThatIsNotCompressedIsADeflatedStream(t *testing.T) {
	for _, body := range sizes() {
		p := StorePayload(body)
		inflated, err := io.ReadAll(flate.NewReader(bytes.NewReader(p.Deflated())))
		if err != nil || !bytes.Equal(inflated, body) {
			t.Fatalf("%d bytes: inflated to %d, %v", len(body), len(inflated), err)
		}
		got, err := PayloadFromDeflated(p.Deflated()).Bytes()
		if err != nil || !bytes.Equal(got, body) || cap(got) > 2*len(got)+1024 {
			t.Fatalf("%d bytes: read %d, %v", len(body), len(got), err)
		}
	}
	if got, err := StorePayload(nil).Bytes(); err != nil || len(got) != 0 {
		t.Errorf("an empty body: %q, %v", got, err)
	}
}

// The caller keeps what it gave, and reading twice gives the same.
func TestAPayloadIsItsOwn(t *testing.T) {
	body := []byte(`{"id":"evt_1"}`)
	p := StorePayload(body)
	body[0] = 'x'
	first, _ := p.Bytes()
	_ = append(first, "more"...)
	if second, err := p.Bytes(); err != nil || string(second) != `{"id":"evt_1"}` {
		t.Errorf("got %q, %v", second, err)
	}
}

func FuzzPayloadBytes(f *testing.F) {
	f.Add(StorePayload([]byte("body")).Deflated())
	f.Add(NewPayload([]byte("body")).Deflated())
	f.Add(StorePayload([]byte(strings.Repeat("x", maxStored+2))).Deflated())
	f.Add([]byte{1, 0, 0, 255, 255})
	f.Add([]byte{0, 0, 0, 255, 255, 1, 1, 0, 254, 255, 'x'})
	f.Add([]byte{1, 1, 0, 254, 255, 'x', 'y'})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := PayloadFromDeflated(b).Bytes()
		want, werr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(b)), MaxPayload+1))
		if len(b) == 0 {
			return
		}
		if (err == nil) != (werr == nil && len(want) <= MaxPayload) || err == nil && !bytes.Equal(got, want) {
			t.Errorf("got %d bytes, %v; flate reads %d, %v", len(got), err, len(want), werr)
		}
	})
}
