package signature

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"testing"
	"time"

	"hookferry/shared/relay"
)

func benchmarkBody(b *testing.B) []byte {
	b.ReportAllocs()
	b.SetBytes(1024)
	return bytes.Repeat([]byte("x"), 1024)
}

// BenchmarkBare is what signing is held against: the standard library's HMAC of
// the same bytes, made anew for the key each time, and kept for it and reset.
func BenchmarkBare(b *testing.B) {
	key, head := []byte(secretA.Reveal()), []byte(stamp+".")
	kept := hmac.New(sha256.New, key)
	for name, mac := range map[string]func() hash.Hash{
		"new":   func() hash.Hash { return hmac.New(sha256.New, key) },
		"reset": func() hash.Hash { kept.Reset(); return kept },
	} {
		b.Run(name, func(b *testing.B) {
			body := benchmarkBody(b)
			var sum [sha256.Size]byte
			for b.Loop() {
				h := mac()
				h.Write(head)
				h.Write(body)
				h.Sum(sum[:0])
			}
		})
	}
}

func BenchmarkSign(b *testing.B) {
	for _, k := range kinds {
		b.Run(k.name, func(b *testing.B) {
			body := benchmarkBody(b)
			for b.Loop() {
				if _, err := k.sign(ts, body, secretA); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	for _, k := range kinds {
		for _, secrets := range [][]relay.Secret{{secretA}, {secretB, secretA}} {
			b.Run(fmt.Sprintf("%s/secrets=%d", k.name, len(secrets)), func(b *testing.B) {
				body := benchmarkBody(b)
				header, err := k.sign(ts, body, secretA)
				if err != nil {
					b.Fatal(err)
				}
				at := time.Unix(ts, 0)
				for b.Loop() {
					if err := k.verify(header, stamp, body, at, secrets...); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
