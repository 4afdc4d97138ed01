// Package awstest lets tests talk to DynamoDB and SQS without an account. It
// starts servers that stand in for them, dynoxide and fauxqs, stops them at the
// end of the test, counts what requests cost, and makes requests fail.
//
// The servers come from npm: make deps installs them next to this file. A test
// that needs one fails when it is missing. HOOKFERRY_SKIP_AWS=1 skips such tests
// instead, for machines that cannot have them.
//
// Where they are laxer than AWS: nothing is throttled, no read is stale, and
// expired items stay. fauxqs takes delays over 900 seconds, never refuses a part
// of a batch, and lets an old receipt delete. Of moto_server 5.2, tried by hand
// (SQSVariable), one test fails for a fault of its own: it reads a body that looks
// like a query as one.
package awstest
