package signature

import (
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"hookferry/shared/relay"
)

// A Sending is what the headers of one attempt of a delivery say (contract
// section 5). The dispatcher sends them; the API shows them again from what is on
// record of the attempt and its event.
type Sending struct {
	Prefix      string // of the names of our own headers, such as Rivya
	EventKey    string // relay.Event's Key, or its ID where that is empty
	SourceID    string // empty for an event of no source
	EndpointID  string
	RequestID   string
	Attempt     int
	At          time.Time // when the attempt was started; it is what is signed
	TraceParent string    // passed on as it is; empty for none
	Passes      int       // of the event through Hookferry before this one
	// Standard adds the headers of Standard Webhooks.
	Standard bool
}

// The names of the headers that carry signatures.
const (
	signatureHeader = "Webhook-Signature" // of Standard Webhooks, and with a prefix ours
	userAgent       = "Hookferry/1"
)

// Header returns all headers of the attempt but for the signatures.
func (s Sending) Header() http.Header {
	stamp := strconv.FormatInt(s.At.Unix(), 10)
	shown, _ := relay.CutEventKey(s.EventKey)
	h := http.Header{
		"Content-Type":               {"application/json"},
		"User-Agent":                 {userAgent},
		s.own("Webhook-Id"):          {shown},
		s.own("Webhook-Timestamp"):   {stamp},
		s.own("Webhook-Attempt"):     {strconv.Itoa(s.Attempt)},
		s.own("Webhook-Endpoint-Id"): {s.EndpointID},
		s.own("Request-Id"):          {s.RequestID},
		relay.PassesHeader:           {strconv.Itoa(s.Passes + 1)},
	}
	if s.SourceID != "" {
		h[s.own("Webhook-Source-Id")] = []string{s.SourceID}
	}
	if s.TraceParent != "" {
		h["Traceparent"] = []string{s.TraceParent}
	}
	if s.Standard {
		h["Webhook-Id"] = []string{WebhookID(s.EventKey)}
		h["Webhook-Timestamp"] = []string{stamp}
	}
	return h
}

func (s Sending) own(name string) string {
	return textproto.CanonicalMIMEHeaderKey(s.Prefix + "-" + name)
}

// SignatureHeader returns the name of the header that carries Rivya's signature.
func (s Sending) SignatureHeader() string { return s.own(signatureHeader) }

// Record returns the signatures among headers in the form in which an attempt
// keeps them: one a line, each as "Header-Name: value".
func (s Sending) Record(sent http.Header) string {
	lines := []string{s.SignatureHeader() + ": " + sent.Get(s.SignatureHeader())}
	if v := sent.Get(signatureHeader); s.Standard && v != "" {
		lines = append(lines, signatureHeader+": "+v)
	}
	return strings.Join(lines, "\n")
}

// Sent returns the headers of an attempt as they were sent, signatures included,
// from what is on record of it and of its event.
// It returns nil if the attempt made no call or is of a version that kept less.
func Sent(a relay.Attempt, ev relay.Event) http.Header {
	s := Sending{
		EventKey: a.EventID, SourceID: ev.SourceID, EndpointID: a.EndpointID, RequestID: a.RequestID,
		Attempt: a.Number, At: a.CreatedAt, TraceParent: ev.TraceParent, Passes: ev.Passes,
	}
	signed := http.Header{}
	for line := range strings.SplitSeq(a.Signatures, "\n") {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			continue
		}
		signed[name] = []string{value}
		if prefix, own := strings.CutSuffix(name, "-"+signatureHeader); own {
			s.Prefix = prefix
		}
		s.Standard = s.Standard || name == signatureHeader
	}
	if s.Prefix == "" {
		return nil
	}
	h := s.Header()
	for name, value := range signed {
		h[name] = value
	}
	return h
}
