package signature

import (
	"encoding/base64"
	"strings"
	"testing"

	"hookferry/shared/relay"
)

// Whatever stands in the headers, nothing passes that does not hold the right
// signature, and the right signature passes next to whatever leaves it whole.
func FuzzVerifyRivya(f *testing.F) {
	good, _ := SignRivya(ts, body, secretA)
	f.Add(good, stamp)
	f.Add("v1=,v2=x,,v1="+strings.Repeat("0", 64), "0")
	f.Add(" v1=\t", "-1")
	f.Fuzz(func(t *testing.T, header, timestamp string) {
		err := VerifyRivya(header, timestamp, body, now, secretA)
		if err == nil && (!strings.Contains(strings.ToLower(header), good[3:]) || timestamp != stamp) {
			t.Errorf("passed: %q, %q", header, timestamp)
		}
		if len(header)+len(good) < MaxHeader && strings.Count(header, ",") < MaxSignatures-1 {
			if err := VerifyRivya(header+","+good, stamp, body, now, secretA); err != nil {
				t.Errorf("%q before the right signature: %v", header, err)
			}
		}
	})
}

// FuzzVerifyStandard is the same for Standard Webhooks.
func FuzzVerifyStandard(f *testing.F) {
	good, _ := SignStandard(messageID, ts, body, secretA)
	f.Add(messageID, good, stamp)
	f.Add("", "v1, v1a,x  v1,"+strings.Repeat("A", 43)+"=", "0")
	f.Fuzz(func(t *testing.T, id, header, timestamp string) {
		err := VerifyStandard(id, header, timestamp, body, now, secretA)
		if err == nil && (!strings.Contains(header, good) || timestamp != stamp || id != messageID) {
			t.Errorf("passed: %q, %q, %q", id, header, timestamp)
		}
		if len(header)+len(good) < MaxHeader && strings.Count(header, " ") < MaxSignatures-1 {
			if err := VerifyStandard(messageID, header+" "+good, stamp, body, now, secretA); err != nil {
				t.Errorf("%q before the right signature: %v", header, err)
			}
		}
	})
}

// A secret is taken in one way of writing it only, and signs if it is taken.
func FuzzSecrets(f *testing.F) {
	f.Add(secretA.Reveal())
	f.Add("whsec_")
	f.Add("whsec_\r\n====")
	f.Fuzz(func(t *testing.T, text string) {
		s := relay.Secret(text)
		w := newWork()
		err := standardKey(w, s)
		key := w.memory
		if err == nil && "whsec_"+base64.StdEncoding.EncodeToString(key) != text {
			t.Errorf("%q was read as %d bytes that are written otherwise", text, len(key))
		}
		if _, signErr := SignStandard(messageID, ts, body, s); (err == nil) != (signErr == nil) {
			t.Errorf("%q: key %v, sign %v", text, err, signErr)
		}
		header, err := SignRivya(ts, body, s)
		if err == nil {
			err = VerifyRivya(header, stamp, body, now, s)
			if err != nil || len(text) < MinRivyaSecret {
				t.Errorf("%q signs, and then: %v", text, err)
			}
		}
	})
}
