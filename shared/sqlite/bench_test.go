package sqlite

import (
	"bytes"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"hookferry/shared/relay"
)

func BenchmarkSend(b *testing.B) {
	for _, senders := range []int{1, 16, 64} {
		b.Run(strconv.Itoa(senders), func(b *testing.B) {
			db, err := Open(b.Context(), Config{Path: filepath.Join(b.TempDir(), "hookferry.db"), Exclusive: true})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			q := db.Queue("events")
			body := bytes.Repeat([]byte("0123456789abcdef"), 64)
			b.ReportAllocs()
			b.ResetTimer()
			var left atomic.Int64
			left.Store(int64(b.N))
			done := make(chan error, senders)
			for range senders {
				go func() {
					for left.Add(-1) >= 0 {
						if err := q.Send(b.Context(), relay.Outgoing{Body: body, Group: "acct_1"}); err != nil {
							done <- err
							return
						}
					}
					done <- nil
				}()
			}
			for range senders {
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sends/s")
			b.ReportMetric(float64(db.w.writes.Load())/float64(db.w.commits.Load()), "writes/commit")
		})
	}
}

func BenchmarkReceiveDelete(b *testing.B) {
	db, err := Open(b.Context(), Config{Path: filepath.Join(b.TempDir(), "hookferry.db"), Exclusive: true})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	q := db.Queue("events")
	body := bytes.Repeat([]byte("0123456789abcdef"), 64)
	for sent := 0; sent < b.N; {
		var msgs []relay.Outgoing
		for ; len(msgs) < 1000 && sent < b.N; sent++ {
			msgs = append(msgs, relay.Outgoing{Body: body})
		}
		if err := q.Send(b.Context(), msgs...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; {
		got, err := q.Receive(b.Context(), 10, 0, time.Minute)
		if err != nil || len(got) == 0 {
			b.Fatal(len(got), err)
		}
		if err := q.Delete(b.Context(), got...); err != nil {
			b.Fatal(err)
		}
		n += len(got)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
