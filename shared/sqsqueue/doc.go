// Package sqsqueue is a lane of messages on Amazon SQS: it is the relay.Queue
// and relay.DeadLetters of what is deployed, on two standard queues, of which
// the second is the dead-letter queue of the first.
//
// What SQS would refuse, or cut, is refused here for the one message that is at
// fault, before anything is sent: a delay over 900 seconds, a body over 1 MiB.
// Texts that SQS refuses because of a character, and everything else that is
// not printable ASCII, travel in base64 and come out byte for byte.
//
// A batch that is partly refused is looked at entry by entry: what SQS itself
// failed at is sent again twice, then named in a relay.SendError. A request
// whose answer is lost is repeated by the SDK, so a message may be on the queue
// twice, as relay.Queue allows.
package sqsqueue
