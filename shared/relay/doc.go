// Package relay is the domain of Hookferry: what an account, key, endpoint,
// source, event, delivery and attempt are, which status follows from what
// happened, when a failed attempt is tried again, and the two ports, Store and
// Queue, that everything durable goes through.
//
// Words: an event is what happened; a delivery is one event to one endpoint; a
// run is one sequence of up to five attempts of a delivery (run 0 is the
// automatic one, each manual retry or replay is a run of its own); an attempt
// is one HTTP call.
//
// # How an event moves
//
// The receiver (or the publish and test calls) puts one Message on the events
// queue and answers 2xx: that send is the acceptance, and the only durable
// write before the answer. The dispatcher takes the message, puts the event on
// the store under the condition that it is not there, posts to every matched
// endpoint, records each attempt, and sends a message for each attempt that
// must follow to the retries queue, whose delay is the schedule.
//
// Everything is at least once. What makes repeats rare is that each step can
// see that it has been done: an event knows the message that put it (its MID),
// an attempt's key is computed from its message, and a queue message carries
// the attempt it stands for. See Store and Queue for what they promise.
//
// The package imports the standard library only. All times are UTC and have
// millisecond precision.
package relay
