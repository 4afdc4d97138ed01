package relay

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"math/big"
	"strings"
	"sync"
	"time"
)

// Prefixes of the identifiers that Hookferry makes.
const (
	AccountPrefix  = "acct_"
	KeyPrefix      = "key_"
	EndpointPrefix = "whend_"
	SourcePrefix   = "src_"
	EventPrefix    = "evt_"
	AttemptPrefix  = "att_"
	RequestPrefix  = "req_"
	ReplayPrefix   = "rpl_"

	// APIKeyPrefix begins every API key.
	APIKeyPrefix = "rvya_sk_"
)

// base32hex keeps byte order, so identifiers sort as the bytes they encode.
var base32hex = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

var lastID struct {
	sync.Mutex
	raw [16]byte
}

// NewID returns prefix and 26 lower-case letters and digits: 48 bits of Unix
// milliseconds and 80 random bits. Identifiers made by one process sort in the
// order in which they were made; within a millisecond that costs 40 of the
// random bits.
func NewID(prefix string, now time.Time) string {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(now.UnixMilli())<<16)
	rand.Read(raw[6:])
	raw[6] &= 0x7f // room to count up in

	lastID.Lock()
	defer lastID.Unlock()
	if [6]byte(raw[:6]) == [6]byte(lastID.raw[:6]) {
		copy(raw[6:11], lastID.raw[6:11])
		for i := 10; i >= 6; i-- {
			if raw[i]++; raw[i] != 0 {
				break
			}
		}
	}
	lastID.raw = raw
	return prefix + base32hex.EncodeToString(raw[:])
}

// DerivedID returns the identifier that the same parts always give: prefix and
// 26 letters and digits of a SHA-256 over the parts, each with its length.
func DerivedID(prefix string, parts ...string) string {
	sum := hashParts(parts...)
	return prefix + base32hex.EncodeToString(sum[:16])
}

// AttemptID returns the identifier of an attempt. It begins with the time the
// attempt is due and depends on nothing else than what its message carries, so
// it is the attempt's sort key, the proof that an attempt is on record, and the
// same for every copy of a message.
func AttemptID(account, event, endpoint string, run, number int, due time.Time) string {
	var n [8]byte
	binary.BigEndian.PutUint32(n[:4], uint32(run))
	binary.BigEndian.PutUint32(n[4:], uint32(number))
	sum := hashParts(account, event, endpoint, string(n[:]))
	var raw [20]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(due.UnixMilli())<<16)
	copy(raw[6:], sum[:14])
	return AttemptPrefix + base32hex.EncodeToString(raw[:])
}

// AttemptIDFloor returns the least AttemptID that an attempt due at t can have.
func AttemptIDFloor(t time.Time) string {
	var raw [20]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(t.UnixMilli())<<16)
	return AttemptPrefix + base32hex.EncodeToString(raw[:])
}

// ValidAttemptID reports whether id has the form that AttemptID returns.
func ValidAttemptID(id string) bool {
	rest, ok := strings.CutPrefix(id, AttemptPrefix)
	if !ok || len(rest) != 32 {
		return false
	}
	_, err := base32hex.DecodeString(rest)
	return err == nil
}

// ValidEventID reports whether id can be an event's: 1 to 128 printable ASCII
// characters, no blank at either end, which a header would lose, and neither .
// nor .., which a path would (contract section 1).
func ValidEventID(id string) bool {
	return storedEventID(id) && id[0] != ' ' && id[len(id)-1] != ' ' && id != "." && id != ".."
}

// storedEventID reports whether id can be that of an event on a store or queue,
// which an earlier version may have taken.
func storedEventID(id string) bool {
	if len(id) == 0 || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		if id[i] < 0x20 || id[i] > 0x7e {
			return false
		}
	}
	return true
}

// keySource stands between the ID and the source in an event's key.
const keySource = "@" + SourcePrefix

// EventKey returns the key of an event whose ID its provider chose: the ID, an @
// and the source.
func EventKey(source, id string) string { return id + "@" + source }

// CutEventKey splits an event's key into the ID that is shown and the source. A
// key without a source is the ID itself.
func CutEventKey(key string) (id, source string) {
	if i := strings.LastIndex(key, keySource); i > 0 {
		return key[:i], key[i+1:]
	}
	return key, ""
}

// ValidEventKey reports whether key can be an event's: what EventKey makes of a
// valid ID, or a valid ID.
func ValidEventKey(key string) bool {
	id, source := CutEventKey(key)
	return storedEventID(id) && len(source) <= 64
}

// NewMID returns a fresh message identifier of 26 characters and 130 random
// bits. Every message carries one in its body, because a queue may give a
// message another identifier when it is put back from a dead-letter queue.
func NewMID() string { return rand.Text() }

// NewAPIKey returns rvya_sk_ and 43 base62 characters: 32 random bytes.
func NewAPIKey() Secret {
	var raw [32]byte
	rand.Read(raw[:])
	text := new(big.Int).SetBytes(raw[:]).Text(62)
	return Secret(APIKeyPrefix + strings.Repeat("0", 43-len(text)) + text)
}

func hashParts(parts ...string) [32]byte {
	h := sha256.New()
	var size [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(size[:], uint64(len(p)))
		h.Write(size[:])
		h.Write([]byte(p))
	}
	return [32]byte(h.Sum(nil))
}

// Millis returns t in UTC, cut to the millisecond, which is the precision of
// every time that Hookferry stores or shows.
func Millis(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// FormatTime returns t as every time is shown: RFC 3339, UTC, milliseconds.
func FormatTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
