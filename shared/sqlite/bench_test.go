//go:build unix

package sqlite

import (
	"bytes"
	"context"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
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

// BenchmarkEvent takes one event of 1 KB through both ports, as a delivery that
// succeeds at the first attempt does, with 32 in hand at a time.
func BenchmarkEvent(b *testing.B) {
	db, err := Open(b.Context(), Config{Path: filepath.Join(b.TempDir(), "hookferry.db"), Exclusive: true})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	q := db.Queue("events")
	words := strings.Fields("status complete variations image design request link width height promotional banner text font")
	body := []byte(`{"id":"evt_1","data":"`)
	for i := 0; len(body) < 1020; i++ {
		body = append(body, words[rand.IntN(len(words))]...)
		body = strconv.AppendInt(append(body, ' '), rand.Int64(), 36)
	}
	payload := relay.NewPayload(append(body, `"}`...))
	b.ReportAllocs()
	before := cpu()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan error)
	const workers = 32
	for range workers {
		go func() {
			for left.Add(-1) >= 0 {
				now := relay.Millis(time.Now())
				ev := relay.Event{
					ID: relay.NewID(relay.EventPrefix, now), Account: "acct_1", Type: "generation.succeeded",
					Format: relay.FormatRivya, VerifiedBy: relay.VerifiedBySignature, CreatedAt: now, RequestID: "req_1", Payload: payload,
				}
				if err := q.Send(b.Context(), relay.NewEventMessage(ev).Outgoing(now)); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		go func() { done <- work(b.Context(), db, q) }()
	}
	for range 2 * workers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric((cpu()-before).Seconds()/float64(b.N)*1000, "cpu-s/1000-events")
}

func work(ctx context.Context, db *DB, q *Queue) error {
	for {
		msgs, err := q.Receive(ctx, 10, 300*time.Millisecond, time.Minute)
		if err != nil || len(msgs) == 0 {
			return err
		}
		errs := make(chan error, len(msgs))
		for _, m := range msgs {
			go func() {
				errs <- func() error {
					msg, err := relay.DecodeMessage(m.Body)
					if err != nil {
						return err
					}
					ev := *msg.Event
					r := relay.EventRecord{Event: ev, MID: msg.MID, ClaimedUntil: ev.CreatedAt.Add(time.Minute), Matched: []string{"whend_1"}}
					if _, err := db.PutEvent(ctx, r); err != nil {
						return err
					}
					a := relay.Attempt{
						ID: relay.AttemptID(ev.Account, ev.ID, "whend_1", 0, 1, ev.CreatedAt), Account: ev.Account,
						EventID: ev.ID, EventType: ev.Type, EndpointID: "whend_1", Number: 1, Status: relay.AttemptSucceeded, Final: true,
						HTTPStatus: 200, RequestID: relay.NewID(relay.RequestPrefix, ev.CreatedAt), Duration: 12 * time.Millisecond,
						Snippet: `{"received":true}`, DueAt: ev.CreatedAt, CreatedAt: ev.CreatedAt, MID: msg.MID, EventCreatedAt: ev.CreatedAt,
					}
					if _, err := db.RecordAttempt(ctx, a); err != nil {
						return err
					}
					return db.ListEvent(ctx, ev, []relay.Delivery{a.Delivery()})
				}()
			}()
		}
		for range msgs {
			if err := <-errs; err != nil {
				return err
			}
		}
		if err := q.Delete(ctx, msgs...); err != nil {
			return err
		}
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
