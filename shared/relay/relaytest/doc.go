// Package relaytest holds implementations of the ports of package relay to
// their promises, and makes the weather in which whatever stands on the ports
// must keep its own.
//
// TestStore and TestQueue are the conformance suites: one subtest for each
// promise, demanding no more than the comments of relay.Store and relay.Queue
// say. NewMemory and NewMemoryQueue are reference implementations, fast and
// exact, for tests that need thousands of worlds.
//
// Faults, Process and Stale decorate any implementation: with duplicates,
// reordering, losses, throttles, stale reads, short pages, and with a death of
// the process at a chosen effect. Each decision of theirs depends on the seed,
// the operation, what it is about and how often that has been done before, not
// on the order in which goroutines ask; so a seed replays. World puts them
// together with scripted destinations and a ledger.
package relaytest
