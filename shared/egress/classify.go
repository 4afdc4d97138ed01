package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/textproto"
	"os"
	"strings"
	"syscall"

	"hookferry/shared/relay"
)

// Classify says what an error of a Client, or of reading an answer's body, means
// for an attempt: a code, and a sentence for the endpoint's owner that carries
// no address. nil gives two empty strings.
func Classify(err error) (relay.ErrorCode, string) {
	var blocked *blockedError
	var failed *stepError
	switch {
	case err == nil:
		return "", ""
	case errors.As(err, &blocked):
		return relay.CodeAddressBlocked, sentence(blocked.reason)
	case errors.As(err, &failed) && failed.step == stepResolve:
		return relay.CodeDNSFailure, resolveMessage(failed.err)
	case isTimeout(err):
		return relay.CodeTimeout, timeoutMessage(failed)
	case failed != nil && failed.step == stepHandshake:
		return relay.CodeTLSFailure, handshakeMessage(failed.err)
	case failed != nil:
		return relay.CodeConnectionFailed, connectMessage(failed.err)
	case isTLS(err):
		// With TLS 1.3 a server judges our side of the handshake, such as a
		// certificate that we do not have, after we have ended it.
		return relay.CodeTLSFailure, handshakeMessage(err)
	}
	return relay.CodeConnectionFailed, exchangeMessage(err)
}

func sentence(reason string) string {
	return string(reason[0]-'a'+'A') + reason[1:] + "."
}

func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT) {
		return true
	}
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// isTLS reports whether an error is one of the TLS protocol, whenever it came.
func isTLS(err error) bool {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "remote error" || op.Op == "local error") // how crypto/tls reports alerts
}

func timeoutMessage(failed *stepError) string {
	switch {
	case failed == nil:
		return "The endpoint did not answer in time."
	case failed.step == stepHandshake:
		return "The TLS handshake took too long."
	}
	return "The connection could not be made in time."
}

func resolveMessage(err error) string {
	var dns *net.DNSError
	switch {
	case errors.Is(err, errNoAddress):
		return "The host name has no address."
	case errors.As(err, &dns) && dns.IsNotFound:
		return "The host name does not exist or has no address."
	case isTimeout(err):
		return "Looking up the host name took too long."
	}
	return "The host name could not be looked up."
}

func connectMessage(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "The connection was refused."
	case errors.Is(err, syscall.ECONNRESET):
		return "The connection was reset."
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "The host cannot be reached."
	case errors.Is(err, context.Canceled):
		return "The attempt was interrupted."
	}
	return "The connection could not be made."
}

func handshakeMessage(err error) string {
	var (
		name      x509.HostnameError
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		remote    *net.OpError
	)
	switch {
	case errors.As(err, &name):
		return "The certificate is not valid for the host name."
	case errors.As(err, &authority):
		return "The certificate is signed by an unknown authority, or an intermediate certificate is missing."
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "The certificate has expired or is not yet valid."
	case errors.As(err, &invalid):
		return "The certificate is not valid."
	case errors.As(err, &record):
		return "The endpoint does not speak TLS on this port."
	case errors.As(err, &remote) && remote.Op == "remote error": // how crypto/tls reports an alert
		return "The endpoint refused the TLS handshake."
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return "The endpoint closed the connection during the TLS handshake."
	}
	return "The TLS handshake failed."
}

func exchangeMessage(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "The attempt was interrupted."
	case errors.Is(err, errHeaderSize):
		return "The header of the endpoint's answer is too large."
	case errors.Is(err, errEarly):
		return "The endpoint answered before it was sent a request."
	case errors.Is(err, errInterim):
		return "The endpoint sent too many interim answers (1xx)."
	case isProtocol(err):
		return "The endpoint's answer has a malformed header line."
	case strings.HasPrefix(err.Error(), "malformed HTTP"):
		return "The endpoint's answer does not begin with a valid HTTP status line."
	case strings.Contains(err.Error(), "Content-Length"), strings.Contains(strings.ToLower(err.Error()), "transfer encoding"):
		return "The endpoint's answer does not say clearly where its body ends."
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "The endpoint closed the connection before its answer was complete."
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "The connection was reset."
	}
	return "The connection failed, or the answer was not valid HTTP."
}

func isProtocol(err error) bool {
	_, ok := errors.AsType[textproto.ProtocolError](err)
	return ok
}
