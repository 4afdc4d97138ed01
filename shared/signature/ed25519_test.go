package signature

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"hookferry/shared/seal"
)

const endpoint = "whend_00000000000000000000"

func TestAnAsymmetricSignatureIsRightForOneMessageAlone(t *testing.T) {
	ring := seal.Generate()
	keys := EndpointKeys(ring, endpoint)
	header, err := SignEd25519(messageID, ts, body, keys...)
	if err != nil || !strings.HasPrefix(header, "v1a,") || strings.Contains(header, " ") {
		t.Fatalf("signed %q, %v", header, err)
	}
	other := EndpointKeys(seal.Generate(), endpoint)[0].Public()
	neighbour := EndpointKeys(ring, "whend_00000000000000000001")[0].Public()
	at, public := time.Unix(ts, 0), keys[0].Public()
	for _, c := range []struct {
		name, id, header, stamp string
		body                    string
		at                      time.Time
		keys                    []string
		want                    error
	}{
		{"right", messageID, header, stamp, string(body), at, []string{public}, nil},
		{"beside another key", messageID, header, stamp, string(body), at, []string{other, public}, nil},
		{"beside other signatures", messageID, "v1,AAAA " + header + " v2,x", stamp, string(body), at, []string{public}, nil},
		{"another id", "x", header, stamp, string(body), at, []string{public}, ErrMismatch},
		{"another body", messageID, header, stamp, string(body) + " ", at, []string{public}, ErrMismatch},
		{"another time", messageID, header, strconv.FormatInt(ts+1, 10), string(body), at, []string{public}, ErrMismatch},
		{"another ring", messageID, header, stamp, string(body), at, []string{other}, ErrMismatch},
		{"another endpoint", messageID, header, stamp, string(body), at, []string{neighbour}, ErrMismatch},
		{"stale", messageID, header, stamp, string(body), at.Add(Tolerance + time.Second), []string{public}, ErrStale},
		{"no header", messageID, "", stamp, string(body), at, []string{public}, ErrMissing},
		{"no id", "", header, stamp, string(body), at, []string{public}, ErrMissing},
		{"no v1a", messageID, strings.Replace(header, "v1a", "v1", 1), stamp, string(body), at, []string{public}, ErrMalformed},
		{"cut", messageID, header[:len(header)-4], stamp, string(body), at, []string{public}, ErrMalformed},
		{"four", messageID, strings.Repeat(header+" ", 4), stamp, string(body), at, []string{public}, ErrMalformed},
		{"long", messageID, header + strings.Repeat(" x", MaxHeader), stamp, string(body), at, []string{public}, ErrMalformed},
		{"no key", messageID, header, stamp, string(body), at, nil, ErrNoSecret},
		{"an empty key", messageID, header, stamp, string(body), at, []string{public, ""}, ErrNoSecret},
		{"a secret as key", messageID, header, stamp, string(body), at, []string{secretA.Reveal()}, ErrNoSecret},
	} {
		if err := VerifyEd25519(c.id, c.header, c.stamp, []byte(c.body), c.at, c.keys...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := SignEd25519(messageID, ts, body); !errors.Is(err, ErrNoSecret) {
		t.Errorf("without a key: %v", err)
	}
	if _, err := SignEd25519("", ts, body, keys...); !errors.Is(err, ErrMissing) {
		t.Errorf("without an id: %v", err)
	}
}

// While a ring has several keys two sign, and a key that only waits to seal is
// known ahead of its time.
func TestARotationOfTheRingBreaksNoReceiver(t *testing.T) {
	ring := seal.Generate()
	old := EndpointKeys(ring, endpoint)[0]
	next := ring.Rotate()
	keys := EndpointKeys(next, endpoint)
	if len(keys) != 2 || keys[1].Public() != old.Public() || keys[1].ID != old.ID || keys[0].ID == old.ID {
		t.Fatalf("after the rotation: %+v", keys)
	}
	header, err := SignEd25519(messageID, ts, body, EndpointKeys(next.Rotate(), endpoint)...)
	if err != nil || strings.Count(header, "v1a,") != 2 {
		t.Fatalf("signed %q, %v", header, err)
	}
	if err := VerifyEd25519(messageID, header, stamp, body, time.Unix(ts, 0), keys[0].Public()); err != nil {
		t.Errorf("the key before: %v", err)
	}
	waiting, err := seal.Parse([]byte(strings.Replace(string(next.Marshal()), "{", `{"sealing":1,`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if keys := EndpointKeys(waiting, endpoint); keys[0].Public() != old.Public() || len(keys) != 2 {
		t.Errorf("while the new key waits: %+v", keys)
	}
}
