package awstest

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

// A Fault is what can happen to one request on its way.
type Fault int

// The faults.
const (
	// None: nothing happens.
	None Fault = iota
	// Throttled: the server refuses it, and does nothing.
	Throttled
	// Broken: the connection breaks before it is sent.
	Broken
	// Lost: the server does what it is asked, and the answer never comes.
	Lost
	// Stalled: nothing comes for the time of Faults.Stall, or until the
	// context ends; nothing is done.
	Stalled
)

// Faults spoils requests, also those that the SDK makes again: Decide is asked
// before each, with the operation and how many of it there have been before.
// It is safe for concurrent use once it is added to a client.
type Faults struct {
	Decide func(op string, n int) Fault
	Stall  time.Duration

	mu    sync.Mutex
	seen  map[string]int
	count map[Fault]int
}

// Seeded returns faults that strike at random: of 1,000 requests about as many
// as each rate says. The same seed gives the same fault to the same request.
func Seeded(seed uint64, perMille map[Fault]int) *Faults {
	return &Faults{Stall: 50 * time.Millisecond, Decide: func(op string, n int) Fault {
		h := fnv.New64a()
		h.Write([]byte(op))
		h.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, seed), uint64(n)))
		roll := int((h.Sum64() ^ h.Sum64()>>29) % 1000)
		for f := Throttled; f <= Stalled; f++ {
			if roll < perMille[f] {
				return f
			}
			roll -= perMille[f]
		}
		return None
	}}
}

// Happened returns how often a fault has struck.
func (f *Faults) Happened(fault Fault) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count[fault]
}

// AddTo is an APIOption of any client.
func (f *Faults) AddTo(stack *middleware.Stack) error {
	// This step is inside the SDK's retries, which so see the fault.
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("faults",
		func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
			middleware.DeserializeOutput, middleware.Metadata, error) {
			var none middleware.DeserializeOutput
			switch f.next(middleware.GetOperationName(ctx)) {
			case Throttled:
				return none, middleware.Metadata{}, &smithy.GenericAPIError{Code: "ThrottlingException", Message: "made by a test"}
			case Broken:
				return none, middleware.Metadata{}, reset("write")
			case Stalled:
				stall := time.NewTimer(f.Stall)
				defer stall.Stop()
				select {
				case <-ctx.Done():
					return none, middleware.Metadata{}, ctx.Err()
				case <-stall.C:
					return none, middleware.Metadata{}, &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
				}
			case Lost:
				if _, md, err := next.HandleDeserialize(ctx, in); err != nil {
					return none, md, err
				}
				return none, middleware.Metadata{}, reset("read")
			}
			return next.HandleDeserialize(ctx, in)
		}), middleware.Before)
}

func reset(op string) error {
	return &net.OpError{Op: op, Net: "tcp", Err: &os.SyscallError{Syscall: op, Err: syscall.ECONNRESET}}
}

func (f *Faults) next(op string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen == nil {
		f.seen, f.count = make(map[string]int), make(map[Fault]int)
	}
	fault := f.Decide(op, f.seen[op])
	f.seen[op]++
	f.count[fault]++
	return fault
}
