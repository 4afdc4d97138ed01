package awstest

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"
)

// A Meter counts the requests of the clients it is added to, and what DynamoDB
// says they cost. Its zero value is ready, and safe for concurrent use.
type Meter struct {
	mu  sync.Mutex
	sum Count
}

// Count is what a Meter has seen.
type Count struct {
	Calls      map[string]int // by operation
	WriteUnits float64
	ReadUnits  float64
	Consistent int // reads that asked for consistency
}

// String gives the count in one line.
func (c Count) String() string {
	var calls []string
	for _, op := range slices.Sorted(maps.Keys(c.Calls)) {
		calls = append(calls, fmt.Sprintf("%d %s", c.Calls[op], op))
	}
	return fmt.Sprintf("%g write units, %g read units, %d consistent reads (%s)",
		c.WriteUnits, c.ReadUnits, c.Consistent, strings.Join(calls, ", "))
}

// Take returns the count since the last Take, and begins anew.
func (m *Meter) Take() Count {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := m.sum
	m.sum = Count{}
	return sum
}

// AddTo is an APIOption of a client of DynamoDB or SQS. A request that the SDK
// repeats counts once.
func (m *Meter) AddTo(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("meter",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
			middleware.InitializeOutput, middleware.Metadata, error,
		) {
			params := reflect.ValueOf(in.Parameters).Elem()
			if f := params.FieldByName("ReturnConsumedCapacity"); f.IsValid() {
				f.SetString(string(types.ReturnConsumedCapacityTotal))
			}
			out, md, err := next.HandleInitialize(ctx, in)
			op := middleware.GetOperationName(ctx)
			units := 0.0
			if err == nil {
				units = consumed(out.Result)
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.sum.Calls == nil {
				m.sum.Calls = make(map[string]int)
			}
			m.sum.Calls[op]++
			if reads(op) {
				m.sum.ReadUnits += units
			} else {
				m.sum.WriteUnits += units
			}
			if consistent(in.Parameters) {
				m.sum.Consistent++
			}
			return out, md, err
		}), middleware.After)
}

func reads(op string) bool {
	return op == "GetItem" || op == "BatchGetItem" || op == "Query" || op == "Scan"
}

// consumed adds up the capacity that an answer names.
func consumed(result any) float64 {
	f := reflect.ValueOf(result).Elem().FieldByName("ConsumedCapacity")
	if !f.IsValid() {
		return 0
	}
	switch c := f.Interface().(type) {
	case *types.ConsumedCapacity:
		if c != nil {
			return aws.ToFloat64(c.CapacityUnits)
		}
	case []types.ConsumedCapacity:
		sum := 0.0
		for _, one := range c {
			sum += aws.ToFloat64(one.CapacityUnits)
		}
		return sum
	}
	return 0
}

func consistent(params any) bool {
	switch in := params.(type) {
	case *dynamodb.GetItemInput:
		return aws.ToBool(in.ConsistentRead)
	case *dynamodb.QueryInput:
		return aws.ToBool(in.ConsistentRead)
	case *dynamodb.BatchGetItemInput:
		for _, keys := range in.RequestItems {
			if aws.ToBool(keys.ConsistentRead) {
				return true
			}
		}
	}
	return false
}
