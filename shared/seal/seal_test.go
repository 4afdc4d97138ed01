package seal

import (
	"errors"
	"strings"
	"testing"

	"hookferry/shared/relay"
)

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
	for _, bad := range []string{"", "{}", `{"keys":{}}`, `{"keys":{"1":"c2hvcnQ="}}`, `{"keys":{"0":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}`,
		`{"keys":{"x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}`, `{"keys":{"1":"hunter2!"}}`} {
		_, err := Parse([]byte(bad))
		if err == nil {
			t.Errorf("%q: no error", bad)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows the key: %v", err)
		}
	}
}
