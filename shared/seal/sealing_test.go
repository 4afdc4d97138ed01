package seal_test

import (
	"encoding/base64"
	"testing"

	"hookferry/shared/seal"
)

func TestTheSealingVersionIsTheOneThatTheRingNames(t *testing.T) {
	key := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for text, want := range map[string]int{
		`{"keys":{"1":"` + key + `"}}`:                               1,
		`{"keys":{"9":"` + key + `","10":"` + key + `"}}`:            10,
		`{"keys":{"1":"` + key + `","2":"` + key + `"},"sealing":1}`: 1,
		`{"keys":{"1":"` + key + `","2":"` + key + `"},"sealing":2}`: 2,
	} {
		r, err := seal.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Sealing(); got != want {
			t.Errorf("got version %d, want %d of versions %v", got, want, r.Versions())
		}
	}
}
