// Package dispatcher takes messages from the two queues and makes of them
// recorded events and recorded attempts: it puts an event on the store, matches
// the account's endpoints, posts to them, signed, records each attempt, and
// sends the message for the attempt that must follow.
//
// It is at least once, and repeats are rare. The rules that make it so:
//
//  1. Every message carries a random MID, made at acceptance and kept through
//     hops and redrives. The event's record keeps the MID that put it and the
//     endpoints that it matched then; a redelivery uses those.
//  2. An event is put if it is not there. There under another MID, it is the
//     provider's duplicate and dropped; under the same MID, a redelivery, and
//     the endpoints without an attempt on record are worked on. The put claims
//     the event until the invocation's end; a copy that comes within the claim
//     is put back until it ends.
//  3. An attempt is recorded under a condition, as its outcome lands, before its
//     successor is sent. If it is on record by the same MID and not final, the
//     successor is sent again, with the same DueAt; if by another, the message
//     ends.
//  4. An outcome that cannot be recorded goes to the retries queue as a message
//     to record it: a call is not repeated because a table was throttled.
//  5. Counters are best effort: at most one write for an endpoint in 5 s.
//  6. At most 128 calls are in flight in an invocation (on one node, as many as
//     its limits allow), of which each account and each endpoint has a share. What
//     finds no room goes to the retries queue for a while, and uses no attempt. An
//     event's endpoints beyond 20 get their first attempts through that queue,
//     and nothing is started with less than the delivery timeout and 5 s left: it
//     goes there with no delay.
//  7. What failed on our side comes again after a short, jittered time; what
//     cannot be decoded is buried at once.
//  8. Repair finds what is more than 10 minutes late and sends it again.
//
// What of this is proved, and how, stands in the folder protocol.
//
// A destination's failure is an outcome, never an error: the message that asked
// for the attempt is done with once the outcome is on record.
package dispatcher
