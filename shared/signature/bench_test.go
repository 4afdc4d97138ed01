package signature

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"hookferry/shared/relay"
)

func benchmarkBody(b *testing.B) []byte {
	b.ReportAllocs()
	b.SetBytes(1024)
	return bytes.Repeat([]byte("x"), 1024)
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
