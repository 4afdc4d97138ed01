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
	// Stall is how long a stalled request stalls.
	Stall time.Duration
	// Spare is how many requests of one call may be spoiled, so that the SDK's
	// next one gets through; 0: all of them.
	Spare int

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
	err := stack.Initialize.Add(middleware.InitializeMiddlewareFunc("faults of a call",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
			middleware.InitializeOutput, middleware.Metadata, error,
		) {
			return next.HandleInitialize(context.WithValue(ctx, callKey{}, new(int)), in)
		}), middleware.Before)
	if err != nil {
		return err
	}
	// This step is inside the SDK's retries, which so see the fault.
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("faults",
		func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
			middleware.DeserializeOutput, middleware.Metadata, error,
		) {
			var none middleware.DeserializeOutput
			switch f.next(ctx) {
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

// callKey is where the context of a call keeps how often it has been spoiled.
type callKey struct{}

func (f *Faults) next(ctx context.Context) Fault {
	spoiled, op := ctx.Value(callKey{}).(*int), middleware.GetOperationName(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen == nil {
		f.seen, f.count = make(map[string]int), make(map[Fault]int)
	}
	n := f.seen[op]
	f.seen[op]++
	if f.Spare > 0 && *spoiled >= f.Spare {
		return None
	}
	fault := f.Decide(op, n)
	if fault != None {
		*spoiled++
	}
	f.count[fault]++
	return fault
}
