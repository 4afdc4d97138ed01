// Package dynamo keeps accounts, endpoints, sources, events and attempts in one
// DynamoDB table: it is the relay.Store of what is deployed. It never scans and
// needs no index, because an index doubles the price of a write.
//
// The table has a partition key pk and a sort key sk, both text, and deletes
// items by their attribute x. DynamoDB may take days for that, so whatever can
// expire is judged by its own time on every read, and every condition takes an
// expired item for one that is not there. Attributes have short names, for they
// are paid for with each item:
//
//	item            pk                  sk               written
//	event           E#account#event     E                once; claims and runs are set on it
//	list row        L#account#shard     time#event       once, after the first attempts
//	open event      P#account#shard     time#event       unless all succeeded at the first attempt
//	subject             U#account#subject   time#event       once, if the event has one
//	attempt         D#endpoint#shard    attempt ID       once
//	bad attempt     B#endpoint#shard    attempt ID       once, if it did not succeed
//	endpoint        A#account           W#endpoint       V#account once it is deleted
//	KeyID's holder  A#account           Q#key            with its endpoint
//	counts          A#account           M#…              of live endpoints, of sources; version of the keys
//	counters        C#endpoint          C                at most every few seconds
//	source          S#source            S                and a pointer A#account, S#source
//	key             K#hash              K                and a copy A#account, K#key
//	expectation     X#source            R#request        and a row X#source, T#time#request
//	idempotency     I#account#hash      I                once
//	replay              Y#account           replay           and a row YO, account#replay until it ends
//	replay slot         C#endpoint          R                once for each step of a replay
//	account         N#name              N                and a row G, time#account
//	open accounts   O                   account          once a day while it has open events
//
// # What a delivery costs
//
// An event of 1 KB that its one endpoint takes at the first attempt is three
// writes of one unit: event, attempt and list row. Identifiers are packed to
// 17 bytes on the event and the payload is deflated, so that all of it is at
// most 1,024 bytes. No read of that path is consistent: the conditions of the
// writes are what decides, and DynamoDB returns the item that made one fail.
//
// The open event holds one attribute for each delivery that did not succeed at
// once. A delivery only ever moves forward: the attribute begins with its
// progress, and the update's condition compares it.
//
// # Shards
//
// Lists that grow with traffic are spread over shards by a hash, and read by
// merging the shards. After the number of shards was doubled an item may be in
// the shard of the smaller number; whatever reads one item looks there too. An
// attempt that is recorded twice by two copies of one message, one before and
// one after that change, is the one thing that it does not see.
//
// # Answers that get lost
//
// The SDK repeats a request whose answer did not come. If it had taken effect,
// its own condition makes the repetition fail, which must not be read as a
// change by somebody else. So each conditional put leaves a random mark on its
// item and compares it when the condition failed; transactions carry the SDK's
// token; deliveries and expectations are written so that twice is once.
package dynamo
