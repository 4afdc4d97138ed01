package signature

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/relay"
)

type interopCall struct {
	RawBody       string            `json:"rawBody"`
	Headers       map[string]string `json:"headers"`
	SigningSecret string            `json:"signingSecret"`
}

// The verifiers that Rivya publishes read only the first v1 signature, so that
// the order of secrets matters to them.
func TestPublishedVerifiersTakeOurSignatures(t *testing.T) {
	call := func(header, timestamp, body string, s relay.Secret) interopCall {
		return interopCall{body, map[string]string{"rivya-webhook-timestamp": timestamp, "rivya-webhook-signature": header}, s.Reveal()}
	}
	one := mustSign(t, kinds[0], secretA)
	both := mustSign(t, kinds[0], secretA, secretB)
	plain := relay.Secret("plain secret with spaces and signs $&~")
	calls := []interopCall{
		call(one, stamp, string(body), secretA),
		call(mustSign(t, kinds[0], plain), stamp, string(body), plain),
		call(both, stamp, string(body), secretA),
		call(both, stamp, string(body), secretB),
		call(mustSign(t, kinds[0], secretB, secretA), stamp, string(body), secretB),
		call("v2=ab,"+one, stamp, string(body), secretA),
		call(one, stamp, string(body)+" ", secretA),
		call(one, "1778467201", string(body), secretA),
		call(one, stamp, string(body), secretB),
	}
	want := []bool{true, true, true, false, true, true, false, false, false}
	input, err := json.Marshal(calls)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct{ program, script string }{{"node", "verify.mjs"}, {"python3", "verify.py"}} {
		t.Run(v.program, func(t *testing.T) {
			path, err := exec.LookPath(v.program)
			if err != nil {
				t.Skipf("%s is not installed: Rivya's published verification was not run under it", v.program)
			}
			cmd := exec.CommandContext(t.Context(), path, filepath.Join("testdata", v.script))
			cmd.Stdin = bytes.NewReader(input)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%s: %v: %s", v.script, err, stderr.String())
			}
			var got []bool
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatalf("%q: %v", out, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
