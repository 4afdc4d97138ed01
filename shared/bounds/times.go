package bounds

import "time"

// What is waited for, and how long a function of the deployed relay may take. A
// function that is still at work at its end is killed without a word, so every
// step within it ends before.
const (
	// Answer is how long one answer of AWS may take, and Connect how long a
	// connection to it: the SDK then asks again, on another connection. Each step
	// below has time for a first request that is never answered and a second.
	Answer  = 900 * time.Millisecond
	Connect = 900 * time.Millisecond
	// Backoff is the longest wait before the SDK asks again.
	Backoff = 300 * time.Millisecond

	// Keyring is how long the sealing keyring may take, in a start and in the first
	// call that needs it after that has failed.
	Keyring = 2100 * time.Millisecond

	// A provider's call: finding its source, and making it durable.
	ReceiverLookup   = 2500 * time.Millisecond
	ReceiverSend     = 4 * time.Second
	RefusalCount     = time.Second // after its answer, which a gateway holds until then
	ReceiverFunction = 10 * time.Second

	// A body: how long it may take whatever its speed, and how long it waits for
	// room in the memory.
	BodySlow = 2 * time.Second
	BodyRoom = time.Second

	// A management call, and undoing what it could not finish.
	APICall     = 17 * time.Second
	APIUndo     = 2 * time.Second
	APIFunction = 20 * time.Second

	// The dispatcher, from the end of its last call on: recording the outcome,
	// sending what follows, hiding what must come again, and the rest for saying
	// what went wrong.
	Record             = 2500 * time.Millisecond
	Send               = 2500 * time.Millisecond
	Hide               = time.Second
	LastWords          = 200 * time.Millisecond
	StartMargin        = 6500 * time.Millisecond
	DispatcherFunction = 60 * time.Second

	// The repair walk, which goes on where it has stopped, and its function.
	RepairWalk     = 4 * time.Minute
	RepairFunction = RepairWalk + 15*time.Second

	// One node: how long a caller may take for the headers of a call, for all of it,
	// and to take the answer, and how long a connection may be idle.
	NodeHeaders = 10 * time.Second
	NodeRead    = 30 * time.Second
	NodeWrite   = 30 * time.Second
	NodeIdle    = 2 * time.Minute
	// NodeAfterCall is what an invocation has besides the delivery timeout, and
	// NodeHidden how much longer its messages are hidden.
	NodeAfterCall = 20 * time.Second
	NodeHidden    = 10 * time.Second
	// NodeDrain is what a stop waits for batches besides the delivery timeout, and
	// NodeFlush what counters have after that.
	NodeDrain = 3 * time.Second
	NodeFlush = 2 * time.Second
	// Ready is how long the store and the queues may take to be called ready.
	Ready = 2 * time.Second

	// longestDelivery is the longest delivery timeout that can be set.
	longestDelivery = 30 * time.Second
)
