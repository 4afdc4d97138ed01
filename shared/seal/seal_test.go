package seal

import (
	"errors"
	"strings"
	"testing"

	"hookferry/shared/relay"
)

// firstKey is HKDF-SHA256 of the text in the test, computed with openssl kdf.
const firstKey = "BXpp6xsbGSLaBO0B41PoJLSslu3tVLCQN6qSorhiL3M="

var place = Place{Account: "acct_1", Object: "whend_1", Field: "signing_secret"}

func TestASealedSecretOpensInItsOwnPlaceAlone(t *testing.T) {
	ring := Generate()
	sealed := ring.Seal("whsec_secret", place)
	if strings.Contains(string(sealed), "secret") {
		t.Fatalf("the secret shows: %s", sealed)
	}
	if again := ring.Seal("whsec_secret", place); again == sealed {
		t.Error("the same secret was sealed to the same text twice")
	}
	got, err := ring.Open(sealed, place)
	if err != nil || got.Reveal() != "whsec_secret" {
		t.Fatalf("open: %v", err)
	}
	for _, p := range []Place{
		{"acct_2", "whend_1", "signing_secret"}, {"acct_1", "whend_2", "signing_secret"}, {"acct_1", "whend_1", "token"},
	} {
		if _, err := ring.Open(sealed, p); !errors.Is(err, ErrOpen) {
			t.Errorf("opened in %+v: %v", p, err)
		}
	}
	for _, bad := range []relay.Sealed{"x", "1.", "1.!", "2." + sealed[2:], sealed[:len(sealed)-2]} {
		if _, err := ring.Open(bad, place); !errors.Is(err, ErrOpen) {
			t.Errorf("%s opened: %v", bad, err)
		}
	}
	if _, err := Generate().Open(sealed, place); !errors.Is(err, ErrOpen) {
		t.Error("another ring opened it")
	}
}

func TestRotationKeepsOldSecretsReadable(t *testing.T) {
	old := Generate()
	sealed := old.Seal("s", place)
	ring, err := Parse(old.Rotate().Marshal())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ring.Open(sealed, place); err != nil || got.Reveal() != "s" {
		t.Errorf("old secret: %v", err)
	}
	if ring.Current(sealed) || !ring.Current(ring.Seal("s", place)) || !ring.Current("") {
		t.Error("Current does not tell old from new")
	}
	if string(old.Derive("cursor")) != string(ring.Derive("cursor")) || string(ring.Derive("a")) == string(ring.Derive("b")) {
		t.Error("Derive must outlive a rotation and differ by purpose")
	}
}

func TestParseRefusesWhatIsNoRingWithoutShowingIt(t *testing.T) {
	for _, bad := range []string{
		"", "{}", `{"keys":{}}`, `{"keys":{"1":"c2hvcnQ="}}`, `{"keys":{"0":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}`,
		`{"keys":{},"generated":"hunter2hunter2hunter2hunter2hunter2hunter2"}`, `{"keys":{},"generated":"hunter2-hunter2-hunter2-hunter2-hunter2-hunter2"}`,
		`{"keys":{"1":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},"generated":"hunter2hunter2hunter2hunter2hunter2hunter2hunter2"}`,
		`{"keys":{"1":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},"sealing":2}`, `{"keys":{"+1":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}`,
		`{"keys":{"x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}`, `{"keys":{"1":"hunter2!"}}`,
	} {
		_, err := Parse([]byte(bad))
		if err == nil {
			t.Errorf("%q: no error", bad)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows the key: %v", err)
		}
	}
}

func TestGeneratedTextStandsForTheFirstKey(t *testing.T) {
	const text = "Zr4u7XwBq0kPd2nYhT8sVg5LcJ1mFa9eRo3iUxKb6WpDtQzMyHvNjSGEClfA0I2O"
	ring, err := Parse([]byte(`{"keys":{},"generated":"` + text + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	sealed := ring.Seal("s", place)
	// What is on a table must open for ever, so the derivation never changes.
	if got, want := ring.Marshal(), `{"keys":{"1":"`+firstKey+`"}}`; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	rotated, err := Parse([]byte(`{"keys":{"2":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},"generated":"` + text + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := rotated.Open(sealed, place); err != nil || got.Reveal() != "s" {
		t.Errorf("after a rotation: %v", err)
	}
	other, err := Parse([]byte(`{"keys":{},"generated":"` + strings.ToLower(text) + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open(sealed, place); !errors.Is(err, ErrOpen) {
		t.Errorf("other text opened it: %v", err)
	}
}

func TestANewKeyCanBeOnTheRingBeforeItSeals(t *testing.T) {
	const one, two = `"1":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`, `"2":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="`
	parse := func(text string) *Keyring {
		t.Helper()
		ring, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return ring
	}
	before, during := parse(`{"keys":{`+one+`}}`), parse(`{"keys":{`+one+`,`+two+`},"sealing":1}`)
	during = parse(string(during.Marshal()))
	after := parse(`{"keys":{` + one + `,` + two + `}}`)
	// Processes of neighbouring steps run at the same time.
	for _, pair := range [][2]*Keyring{{before, during}, {during, before}, {during, after}, {after, during}} {
		if got, err := pair[1].Open(pair[0].Seal("s", place), place); err != nil || got.Reveal() != "s" {
			t.Errorf("versions %v cannot open what %v sealed: %v", pair[1].Versions(), pair[0].Versions(), err)
		}
	}
	if s := during.Seal("s", place); !during.Current(s) || after.Current(s) {
		t.Error("Current does not follow the key that seals")
	}
}
