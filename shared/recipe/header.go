package recipe

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"hookferry/shared/signature"
)

// A head is what the headers of a call say about its signature.
type head struct {
	candidates []candidate
	timestamp  string // the text that is signed
	at         time.Time
}

// A candidate is a signature that a call holds, decoded.
type candidate struct {
	scheme scheme
	sum    []byte
}

// read judges everything that can be judged without body and secret.
func (r *Recipe) read(header http.Header, now time.Time) (head, error) {
	var h head
	value, err := one(header, r.wire.Signature.Header)
	if err != nil {
		return head{}, err
	}
	if h.candidates, err = r.candidates(value); err != nil {
		return head{}, err
	}
	if r.wire.Timestamp != nil {
		if err := r.readTimestamp(header, now, &h); err != nil {
			return head{}, err
		}
	}
	for _, name := range r.signed.headers() {
		if _, err := one(header, name); err != nil {
			return head{}, err
		}
	}
	return h, nil
}

// maxAsymmetric is how many signatures a call may hold that are checked with
// public keys: each is checked with each of those, over all that is signed. A
// provider that rotates sends two.
const maxAsymmetric = 3

func (r *Recipe) candidates(value string) ([]candidate, error) {
	var found []candidate
	asymmetric := 0
	for _, f := range r.forms {
		texts, err := items(value, f.item)
		if err != nil {
			return nil, err
		}
		for _, text := range texts {
			text, ok := strings.CutPrefix(text, r.wire.Signature.Prefix)
			if !ok {
				continue
			}
			sum := decode(text, r.wire.Signature.Encoding, f.scheme.size)
			if sum == nil {
				continue
			}
			if f.scheme.hash == nil {
				if asymmetric++; asymmetric > maxAsymmetric {
					return nil, fmt.Errorf("%w: over %d signatures of a public key in %s", ErrMalformed, maxAsymmetric, r.wire.Signature.Header)
				}
			}
			found = append(found, candidate{f.scheme, sum})
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: no signature of the expected form in %s", ErrMalformed, r.wire.Signature.Header)
	}
	return found, nil
}

func (r *Recipe) readTimestamp(header http.Header, now time.Time, h *head) error {
	w := r.wire.Timestamp
	value, err := one(header, w.Header)
	if err != nil {
		return err
	}
	texts, err := items(value, w.Item)
	if err != nil {
		return err
	}
	texts = slices.Compact(texts)
	if len(texts) == 0 {
		return fmt.Errorf("%w: no timestamp in %s", ErrMissing, w.Header)
	}
	if len(texts) > 1 {
		return fmt.Errorf("%w: two timestamps in %s", ErrMalformed, w.Header)
	}
	n, ok := digits(texts[0])
	if !ok {
		return fmt.Errorf("%w: the timestamp is no Unix time", ErrMalformed)
	}
	h.timestamp = texts[0]
	if h.at = time.Unix(n, 0); w.Unit == "ms" {
		h.at = time.UnixMilli(n)
	}
	if age := now.Sub(h.at); age > r.tolerance || age < -r.tolerance {
		return ErrStale
	}
	return nil
}

// digits reads 1 to 15 digits and nothing else, so that the text that is signed
// has one meaning.
func digits(text string) (int64, bool) {
	if text == "" || len(text) > 15 {
		return 0, false
	}
	var n int64
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
		n = 10*n + int64(text[i]-'0')
	}
	return n, true
}

// one returns the value of a header. Equal values count as one, also where a
// gateway has joined two with a comma; different ones are an error.
func one(header http.Header, name string) (string, error) {
	values := header[http.CanonicalHeaderKey(name)]
	if len(values) == 0 {
		return "", fmt.Errorf("%w: no %s", ErrMissing, name)
	}
	first := ""
	for i, value := range values {
		if len(value) > signature.MaxHeader {
			return "", fmt.Errorf("%w: %s is over %d bytes", ErrMalformed, name, signature.MaxHeader)
		}
		value = unjoin(strings.Trim(value, " \t"))
		if i == 0 {
			first = value
		}
		if value != first {
			return "", fmt.Errorf("%w: %s is there twice with different values", ErrMalformed, name)
		}
	}
	if first == "" {
		return "", fmt.Errorf("%w: %s is empty", ErrMissing, name)
	}
	if strings.ContainsAny(first, "\r\n\x00") {
		return "", fmt.Errorf("%w: %s has a line break in it", ErrMalformed, name)
	}
	return first, nil
}

// unjoin makes one of two equal values that were joined with a comma.
func unjoin(value string) string {
	for _, separator := range []string{",", ", "} {
		half := (len(value) - len(separator)) / 2
		if half > 0 && value == value[:half]+separator+value[:half] {
			return value[:half]
		}
	}
	return value
}

// items returns the parts of a header that are marked with item: k=v with commas
// or semicolons between, or vN,sig with blanks between. The first = or comma
// tells which. Without item it returns the value.
func items(value, item string) ([]string, error) {
	if item == "" {
		return []string{value}, nil
	}
	mark, separator := ",", " "
	if at := strings.IndexAny(value, "=,"); at >= 0 && value[at] == '=' {
		mark, separator = "=", ","
		if strings.Contains(value, ";") {
			separator = ";"
			if strings.Contains(value, ",") {
				return nil, fmt.Errorf("%w: commas and semicolons between its parts", ErrMalformed)
			}
		}
	}
	var found []string
	parts := 0
	for part := range strings.SplitSeq(value, separator) {
		part = strings.Trim(part, " \t")
		if part == "" {
			continue
		}
		if parts++; parts > signature.MaxSignatures {
			return nil, fmt.Errorf("%w: over %d parts", ErrMalformed, signature.MaxSignatures)
		}
		if name, text, ok := strings.Cut(part, mark); ok && name == item {
			found = append(found, text)
		}
	}
	return found, nil
}

func headerProblem(name string) string {
	if name == "" || len(name) > MaxHeaderName {
		return fmt.Sprintf("must be the name of a header of at most %d characters", MaxHeaderName)
	}
	for i := range len(name) {
		if !isWord(name[i]) {
			return "must be the name of a header: letters, digits, - and _"
		}
	}
	if http.CanonicalHeaderKey(name) == "Host" {
		return "must not be Host, which whoever sends the call can choose; use {url}"
	}
	return ""
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

func printable(text string) bool {
	for i := range len(text) {
		if text[i] < 0x20 || text[i] > 0x7e {
			return false
		}
	}
	return true
}
