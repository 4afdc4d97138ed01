package awstest_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"hookferry/shared/awstest"
)

func TestServersEndWithTheTestThatStartedThem(t *testing.T) {
	for name, start := range map[string]func(testing.TB) string{"DynamoDB": awstest.StartDynamoDB, "SQS": awstest.StartSQS} {
		t.Run(name, func(t *testing.T) {
			var url string
			client := &http.Client{Timeout: 2 * time.Second}
			t.Run("while it runs", func(t *testing.T) {
				url = start(t)
				res, err := client.Get(url)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
			})
			if url == "" {
				t.Skip("it was not started")
			}
			if os.Getenv(awstest.SQSVariable) == url {
				t.Skip("somebody else's server")
			}
			if res, err := client.Get(url); err == nil {
				res.Body.Close()
				t.Error("it still answers after the test")
			}
		})
	}
}

// A machine without the servers must not look as if their tests had passed.
func TestAMissingServerFailsUnlessSkippedAloud(t *testing.T) {
	if os.Getenv("AWSTEST_MISSING") == "1" {
		t.Chdir(t.TempDir())
		if err := os.WriteFile("go.mod", []byte("module none\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		awstest.StartDynamoDB(t)
		return
	}
	for _, c := range []struct{ skip, result, says string }{
		{"", "--- FAIL", "make deps"},
		{"1", "--- SKIP", awstest.SkipVariable},
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", t.Name(), "-test.v")
		cmd.Env = append(os.Environ(), "AWSTEST_MISSING=1", awstest.SkipVariable+"="+c.skip)
		out, err := cmd.CombinedOutput()
		if (err != nil) != (c.skip == "") || !strings.Contains(string(out), c.result) || !strings.Contains(string(out), c.says) {
			t.Errorf("with %s=%q: got %v, want %s and a word about %s in\n%s", awstest.SkipVariable, c.skip, err, c.result, c.says, out)
		}
	}
}

// npm asks the registry that the machine is set up for, not the one where the
// lock file was made.
func TestTheLockFileNamesNoRegistry(t *testing.T) {
	raw, err := os.ReadFile("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]struct{ Resolved, Integrity string }
	}
	if err := json.Unmarshal(raw, &lock); err != nil {
		t.Fatal(err)
	}
	if len(lock.Packages) < 10 {
		t.Fatalf("%d packages", len(lock.Packages))
	}
	for name, p := range lock.Packages {
		if p.Resolved != "" {
			t.Errorf("%s is resolved to %s", name, p.Resolved)
		}
		if name != "" && p.Integrity == "" {
			t.Errorf("%s has no integrity", name)
		}
	}
}
