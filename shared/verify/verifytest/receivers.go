// Package verifytest starts receivers of each language that package verify speaks,
// for tests that call them.
package verifytest

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"hookferry/shared/verify"
)

// Languages are those that Start knows.
var Languages = []string{"go", "typescript", "python"}

// Start runs a receiver in the language and returns its URL; it stops when the
// test ends. Secrets are those of the endpoint, and standard chooses the
// signature that is checked. Where the language is not installed the test is
// skipped and says so.
func Start(t testing.TB, language string, standard bool, secrets ...string) string {
	t.Helper()
	arguments := []string{}
	if standard {
		arguments = append(arguments, "standard")
	}
	switch language {
	case "go":
		v := verify.Verifier{Secrets: secrets, Standard: standard}
		taken := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusNoContent)
		})
		server := httptest.NewServer(v.Handler(verify.NewMemory(1000), taken))
		t.Cleanup(server.Close)
		return server.URL
	case "typescript":
		return program(t, secrets, "node", append([]string{folder("testdata", "server.mjs"), compiled(t)}, arguments...)...)
	case "python":
		return program(t, secrets, "python3", append([]string{folder("testdata", "server.py"), folder("python")}, arguments...)...)
	}
	t.Fatalf("no receiver in %q", language)
	return ""
}

// program starts a receiver that prints its port and ends with its standard input.
func program(t testing.TB, secrets []string, name string, arguments ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed: its verifier was not run", name)
	}
	cmd := exec.CommandContext(t.Context(), path, arguments...)
	cmd.Env = append(os.Environ(), "HOOKFERRY_SECRET="+strings.Join(secrets, " "))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	port, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("%s: no port: %v", name, err)
	}
	return "http://127.0.0.1:" + strings.TrimSpace(port) + "/"
}

// Missing says what a language's verifier needs and this machine does not have;
// empty if it has all of it.
func Missing(language string) string {
	program := map[string]string{"go": "go", "typescript": "node", "python": "python3"}[language]
	if _, err := exec.LookPath(program); err != nil {
		return program + " is not installed: the " + language + " verifier was not run"
	}
	if _, err := os.Stat(compiler()); language == "typescript" && err != nil {
		return "the TypeScript compiler is not installed (make deps): its verifier was not run"
	}
	return ""
}

func compiler() string { return folder("node_modules", "typescript", "bin", "tsc") }

// compiled returns the TypeScript verifier as JavaScript.
func compiled(t testing.TB) string {
	t.Helper()
	if why := Missing("typescript"); why != "" {
		t.Skip(why)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal(err)
	}
	into := t.TempDir()
	out, err := exec.CommandContext(t.Context(), node, compiler(), "--strict", "--target", "es2022", "--module", "es2022", "--lib", "es2022,dom",
		"--outDir", into, folder("typescript", "hookferry.ts")).CombinedOutput()
	if err != nil {
		t.Fatalf("tsc: %v: %s", err, out)
	}
	if err := os.Rename(filepath.Join(into, "hookferry.js"), filepath.Join(into, "hookferry.mjs")); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(into, "hookferry.mjs")
}

// folder returns a path inside package verify's folder.
func folder(of ...string) string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(append([]string{filepath.Dir(here), ".."}, of...)...)
}
