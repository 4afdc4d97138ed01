package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"hookferry/shared/relay"
)

const (
	ts        = int64(1778467200) // of Rivya's documentation
	stamp     = "1778467200"
	secretA   = relay.Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	secretB   = relay.Secret("whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY=")
	messageID = "evt_1"
)

var (
	now  = time.Unix(ts, 0)
	body = []byte(`{"id":"evt_1","text":"größer 日本 \u2028"}`)
)

// A kind is one of the two signatures behind one face, for what holds of both.
type kind struct {
	name, separator, bad string
	sign                 func(ts int64, body []byte, secrets ...relay.Secret) (string, error)
	verify               func(header, timestamp string, body []byte, now time.Time, secrets ...relay.Secret) error
}

var kinds = []kind{
	{"rivya", ",", "v1=" + strings.Repeat("0", 64), SignRivya, VerifyRivya},
	{
		"standard", " ", "v1," + base64.StdEncoding.EncodeToString(make([]byte, 32)),
		func(ts int64, body []byte, secrets ...relay.Secret) (string, error) {
			return SignStandard(messageID, ts, body, secrets...)
		},
		func(header, timestamp string, body []byte, now time.Time, secrets ...relay.Secret) error {
			return VerifyStandard(messageID, header, timestamp, body, now, secrets...)
		},
	},
}

func eachKind(t *testing.T, f func(t *testing.T, k kind)) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) { f(t, k) })
	}
}

func mustSign(t testing.TB, k kind, secrets ...relay.Secret) string {
	t.Helper()
	header, err := k.sign(ts, body, secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return header
}

func TestRivyaSignsWithTheWholeSecretAsItsKey(t *testing.T) {
	mac := hmac.New(sha256.New, []byte(secretA.Reveal()))
	fmt.Fprintf(mac, "%s.%s", stamp, body)
	want := "v1=" + hex.EncodeToString(mac.Sum(nil))
	if got := mustSign(t, kinds[0], secretA); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestStandardSignsThePublishedVector(t *testing.T) {
	const (
		id   = "msg_p5jXN8AQM9LWM0D4loKWxJek"
		at   = int64(1614265330)
		want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	)
	vector := []byte(`{"test": 2432232314}`)
	got, err := SignStandard(id, at, vector, secretA)
	if err != nil || got != want {
		t.Errorf("sign: got %s, %v, want %s", got, err, want)
	}
	if err := VerifyStandard(id, want, "1614265330", vector, time.Unix(at, 0), secretA); err != nil {
		t.Errorf("verify: %v", err)
	}
}

func TestStandardAgreesWithTheReferenceLibrary(t *testing.T) {
	at := time.Now() // the library reads the clock itself
	for _, s := range []relay.Secret{secretA, secretB, relay.NewSigningSecret()} {
		lib, err := standardwebhooks.NewWebhook(s.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range [][]byte{nil, body, make([]byte, 100_000)} {
			ours, err := SignStandard(messageID, at.Unix(), b, s)
			if err != nil {
				t.Fatal(err)
			}
			header := http.Header{}
			header.Set("webhook-id", messageID)
			header.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
			header.Set("webhook-signature", "v2,abc "+ours)
			if err := lib.Verify(b, header); err != nil {
				t.Errorf("the library refuses our signature of %d bytes: %v", len(b), err)
			}
			theirs, err := lib.Sign(messageID, at, b)
			if err != nil {
				t.Fatal(err)
			}
			if err := VerifyStandard(messageID, theirs, header.Get("webhook-timestamp"), b, at, s); err != nil {
				t.Errorf("we refuse the library's signature of %d bytes: %v", len(b), err)
			}
		}
	}
}

func TestSecretsSignInTheirOrderAndAnyOneVerifies(t *testing.T) {
	eachKind(t, func(t *testing.T, k kind) {
		a, b := mustSign(t, k, secretA), mustSign(t, k, secretB)
		both := mustSign(t, k, secretA, secretB)
		if want := a + k.separator + b; both != want {
			t.Errorf("got %s, want %s", both, want)
		}
		if turned := mustSign(t, k, secretB, secretA); turned != b+k.separator+a {
			t.Errorf("the other order: got %s", turned)
		}
		for _, secrets := range [][]relay.Secret{{secretA}, {secretB}, {secretA, secretB}, {relay.NewSigningSecret(), secretB}} {
			if err := k.verify(both, stamp, body, now, secrets...); err != nil {
				t.Errorf("%d secrets: %v", len(secrets), err)
			}
		}
		if err := k.verify(a, stamp, body, now, secretB, secretA); err != nil {
			t.Errorf("one signature, two secrets: %v", err)
		}
		if err := k.verify(both, stamp, body, now, relay.NewSigningSecret()); !errors.Is(err, ErrMismatch) {
			t.Errorf("another secret: got %v, want %v", err, ErrMismatch)
		}
	})
}

func TestVerifyFindsTheSignatureAmongOthers(t *testing.T) {
	eachKind(t, func(t *testing.T, k kind) {
		good := mustSign(t, k, secretA)
		for _, parts := range [][]string{
			{good},
			{k.bad, good},
			{good, k.bad},
			{"v0=abc", "v2,xyz", "v1a,whatever", good},
			{"v1", "v1=", "v1,", "v1=zz", "v1,!!", good},
			{"", "", good, ""},
			{"\t" + good + "\t"},
		} {
			header := strings.Join(parts, k.separator)
			if err := k.verify(header, stamp, body, now, secretA); err != nil {
				t.Errorf("%q: %v", header, err)
			}
		}
	})
	// What HTTP makes of several header fields.
	if err := VerifyRivya(kinds[0].bad+", "+mustSign(t, kinds[0], secretA), stamp, body, now, secretA); err != nil {
		t.Error(err)
	}
	if err := VerifyRivya(strings.ToUpper(mustSign(t, kinds[0], secretA)[3:]), stamp, body, now, secretA); !errors.Is(err, ErrMalformed) {
		t.Errorf("without a version: got %v, want %v", err, ErrMalformed)
	}
}

func TestVerifyRefuses(t *testing.T) {
	eachKind(t, func(t *testing.T, k kind) {
		good := mustSign(t, k, secretA)
		flipped := []byte(good)
		flipped[10] ^= 1
		for _, c := range []struct {
			name, header, timestamp, body string
			want                          error
		}{
			{"no header", "", stamp, string(body), ErrMissing},
			{"no timestamp", good, "", string(body), ErrMissing},
			{"body changed", good, stamp, string(body) + " ", ErrMismatch},
			{"no body", good, stamp, "", ErrMismatch},
			{"timestamp changed", good, "1778467201", string(body), ErrMismatch},
			{"timestamp written otherwise", good, "01778467200", string(body), ErrMismatch},
			{"signature changed", string(flipped), stamp, string(body), ErrMismatch},
			{"only another", k.bad, stamp, string(body), ErrMismatch},
			{"signature cut", good[:len(good)-1], stamp, string(body), ErrMalformed},
			{"signature too long", good + "0", stamp, string(body), ErrMalformed},
			{"unknown version", "v2" + good[2:], stamp, string(body), ErrMalformed},
			{"upper-case version", "V1" + good[2:], stamp, string(body), ErrMalformed},
			{"separators alone", strings.Repeat(k.separator, 9), stamp, string(body), ErrMalformed},
			{"too many signatures", strings.Repeat(k.bad+k.separator, MaxSignatures) + good, stamp, string(body), ErrMalformed},
			{"header too long", strings.Repeat(k.separator, MaxHeader) + good, stamp, string(body), ErrMalformed},
			{"line break inside", good[:20] + "\n" + good[20:], stamp, string(body), ErrMalformed},
			{"signed timestamp", good, "+1778467200", string(body), ErrMalformed},
			{"negative timestamp", good, "-1778467200", string(body), ErrMalformed},
			{"fractional timestamp", good, "1778467200.5", string(body), ErrMalformed},
			{"spaced timestamp", good, " 1778467200", string(body), ErrMalformed},
			{"milliseconds", good, "1778467200000", string(body), ErrStale},
			{"huge timestamp", good, "99999999999999999999", string(body), ErrMalformed},
			{"other digits", good, "１７７８４６７２００", string(body), ErrMalformed},
		} {
			if err := k.verify(c.header, c.timestamp, []byte(c.body), now, secretA); !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", c.name, err, c.want)
			}
		}
	})
	good := mustSign(t, kinds[1], secretA)
	for id, want := range map[string]error{"": ErrMissing, "evt_2": ErrMismatch, strings.Repeat("x", MaxStandardID+1): ErrMalformed} {
		if err := VerifyStandard(id, good, stamp, body, now, secretA); !errors.Is(err, want) {
			t.Errorf("id of %d bytes: got %v, want %v", len(id), err, want)
		}
	}
}

func TestTimestampsAreGoodForFiveMinutesEitherWay(t *testing.T) {
	eachKind(t, func(t *testing.T, k kind) {
		good := mustSign(t, k, secretA)
		for _, c := range []struct {
			ahead time.Duration // of our clock
			want  error
		}{
			{0, nil},
			{Tolerance, nil},
			{-Tolerance, nil},
			{Tolerance + time.Millisecond, ErrStale},
			{-Tolerance - time.Millisecond, ErrStale},
			{1000 * time.Hour, ErrStale},
			{-1000 * time.Hour, ErrStale},
		} {
			if err := k.verify(good, stamp, body, now.Add(c.ahead), secretA); !errors.Is(err, c.want) {
				t.Errorf("clock %s ahead: got %v, want %v", c.ahead, err, c.want)
			}
		}
	})
}

func TestUnusableSecretsNeitherSignNorVerify(t *testing.T) {
	text := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	unusable := map[string][]string{
		"rivya": {"", "1234567", strings.Repeat("x", MaxRivyaSecret+1), "whsec_tab\tin it", "whsec_größe12", "whsec_123456\n"},
		"standard": {
			"", "whsec_", text(32), "WHSEC_" + text(32), "whsec_" + text(MinStandardKey-1), "whsec_" + text(MaxStandardKey+1),
			"whsec_not base64 at all, that", "whsec_" + strings.TrimRight(text(32), "="), "whsec_" + text(32) + "\n",
			"whsec_" + text(12) + "\n" + text(12), "whsec_" + strings.Repeat("A", 31) + "-", " whsec_" + text(32),
			"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMR==",
		}, // spare bits set
	}
	eachKind(t, func(t *testing.T, k kind) {
		good := mustSign(t, k, secretA)
		check := func(secrets ...relay.Secret) {
			t.Helper()
			if header, err := k.sign(ts, body, secrets...); !errors.Is(err, ErrNoSecret) || header != "" {
				t.Errorf("sign: got %q, %v", header, err)
			}
			if err := k.verify(good, stamp, body, now, secrets...); !errors.Is(err, ErrNoSecret) {
				t.Errorf("verify: got %v, want %v", err, ErrNoSecret)
			}
		}
		check()
		for _, s := range unusable[k.name] {
			t.Run(strconv.Quote(s), func(t *testing.T) {
				check(relay.Secret(s))
				check(secretA, relay.Secret(s))
				check(relay.Secret(s), secretA)
				_, err := k.sign(ts, body, relay.Secret(s))
				if len(s) > 6 && strings.Contains(err.Error(), s) {
					t.Error("the error carries the secret")
				}
			})
		}
	})
	for n := MinStandardKey; n <= MaxStandardKey; n++ {
		if err := standardKey(newWork(), relay.Secret("whsec_"+text(n))); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	for _, s := range []relay.Secret{"12345678", relay.Secret(strings.Repeat("~", MaxRivyaSecret)), secretA} {
		if err := rivyaKey(newWork(), s); err != nil {
			t.Error(err)
		}
	}
}

// A forged signature with an empty key must not pass: this is what a lost secret
// would open.
func TestSignaturesUnderAnEmptyKeyAreRefused(t *testing.T) {
	mac := hmac.New(sha256.New, nil)
	fmt.Fprintf(mac, "%s.%s", stamp, body)
	forged := "v1=" + hex.EncodeToString(mac.Sum(nil))
	for _, secrets := range [][]relay.Secret{nil, {""}, {secretA}} {
		if err := VerifyRivya(forged, stamp, body, now, secrets...); err == nil {
			t.Errorf("%d secrets: passed", len(secrets))
		}
	}
}
