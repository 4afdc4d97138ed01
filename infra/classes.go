//go:build cdk

package main

import "hookferry/shared/relay"

// attemptClasses are the classes of failed attempts that the dashboard shows.
var attemptClasses = []string{
	string(relay.CodeTimeout), string(relay.CodeDNSFailure), string(relay.CodeConnectionFailed), string(relay.CodeTLSFailure),
	string(relay.CodeRedirect), string(relay.CodeHTTPError), string(relay.CodeAddressBlocked), string(relay.CodeExpired),
	string(relay.CodePayloadUnreadable),
}

// rejectReasons are the reasons for which the receiver refuses a call. A test
// holds them against its code.
var rejectReasons = []string{
	"body", "body_cut", "body_slow", "busy", "id_mismatch", "method", "no_secret", "path", "signature_malformed", "signature_mismatch", "signature_missing", "signature_stale",
	"source", "token", "too_large",
}
