package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// cli runs one command line in this process and returns what it says.
func cli(t testing.TB, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	p := program{
		in: strings.NewReader(""), out: &out, err: &errs,
		lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	}
	code = run(t.Context(), p, args)
	return code, out.String(), errs.String()
}

// everyCommand calls do with each command that is not hidden.
func everyCommand(c *cobra.Command, do func(c *cobra.Command)) {
	do(c)
	for _, sub := range c.Commands() {
		if !sub.Hidden {
			everyCommand(sub, do)
		}
	}
}

// Each mistake is met by what is wrong and what to type instead.
func TestAMistakeIsMetByWhatToTypeInstead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line, want string
	}{
		{"", "hookferry try"},
		{"lisen", "is listen meant?"},
		{"frobnicate", "hookferry -h lists them"},
		{"keys", "create, list, revoke"},
		{"keys crate", "is create meant?"},
		{"keys mak", "create, list, revoke"},
		{"dev -dta x", "is -data meant?"},
		{"dev --dta=x", "is -data meant?"},
		{"dev -zzz", "hookferry dev -h"},
		{"dev x", "not expected here"},
		{"bench -n x", "not a whole number"},
		{"bench -n", "-n needs a value"},
		{"keys create -account a -data D -expires-in soon", "duration, like"},
		{"keys list -data D", "-account NAME"},
		{"keys list -account a", "-data DIR"},
		{"keys revoke -account a", "-data DIR"},
		{"dead show -data D", "-id ID"},
		{"dead drop", "-all"},
		{"dead show -all", "no flag -all"},
		{"serve", "PUBLIC_URL"},
		{"send", "rivya, sivi"},
		{"version now", "not expected here"},
	} {
		code, stdout, stderr := cli(t, nil, strings.Fields(c.line)...)
		want := exitUsage
		if c.line == "serve" {
			want = exitFailed
		}
		if code != want || !strings.Contains(stderr, c.want) || stdout != "" && c.line != "" {
			t.Errorf("hookferry %s: exit %d, %q, want %d and %q", c.line, code, stderr, want, c.want)
		}
		if n := strings.Count(stderr, "\n"); n != 1 {
			t.Errorf("hookferry %s: %d lines where one would do: %q", c.line, n, stderr)
		}
	}
}

func TestEveryCommandExplainsItselfWithExamples(t *testing.T) {
	t.Parallel()
	root := newRoot(program{out: io.Discard, err: io.Discard})
	everyCommand(root, func(c *cobra.Command) {
		line := strings.Fields(c.CommandPath())[1:]
		code, stdout, stderr := cli(t, nil, append(line, "-h")...)
		if code != 0 || stderr != "" || !strings.Contains(stdout, "Usage:") {
			t.Errorf("%s -h: exit %d, %q", c.CommandPath(), code, stderr)
		}
		if c.Short == "" && c.HasParent() {
			t.Errorf("%s has no line for the list", c.CommandPath())
		}
		if c.Runnable() && !c.HasSubCommands() {
			if !strings.Contains(stdout, "Examples:\n  ") || !strings.Contains(stdout, c.CommandPath()) {
				t.Errorf("%s -h shows no example", c.CommandPath())
			}
			for example := range strings.Lines(c.Example) {
				if !strings.Contains(example, c.CommandPath()) {
					t.Errorf("%s: the example %q is of another command", c.CommandPath(), example)
				}
				for _, secret := range []string{" -key ", " -secret ", "rvya_sk_", "whsec_"} {
					if strings.Contains(example, secret) {
						t.Errorf("%s: the example %q holds a secret", c.CommandPath(), example)
					}
				}
			}
		}
		for text := range strings.Lines(stdout) {
			if n := len([]rune(strings.TrimRight(text, "\n"))); n > 100 {
				t.Errorf("%s -h: a line of %d characters: %s", c.CommandPath(), n, text)
			}
		}
	})
}

// A flag may be written with one dash or two, with = or without, and its value may
// look like a flag.
func TestFlagsAreReadWithOneDashOrTwo(t *testing.T) {
	t.Parallel()
	root := newRoot(program{out: io.Discard, err: io.Discard})
	for line, want := range map[string]string{
		"bench -n 5 -json":                "bench --n 5 --json",
		"bench --n=5 -json=false":         "bench --n=5 --json=false",
		"keys create -account -name":      "keys create --account -name",
		"keys create -name=-x -account a": "keys create --name=-x --account a",
		"-h":                              "--help",
		"dev -help":                       "dev --help",
		"version -- -x":                   "version -- -x",
		"__complete dev -":                "__complete dev -",
		"dead list -limit -1":             "dead list --limit -1",
		"dev -data":                       "dev --data",
	} {
		if got := longFlags(root, strings.Fields(line)); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}

func TestVersionSaysWhichProgramThisIs(t *testing.T) {
	t.Parallel()
	code, stdout, _ := cli(t, nil, "version", "-json")
	var got build
	if err := json.Unmarshal([]byte(stdout), &got); code != 0 || err != nil || got.Version == "" || got.Go == "" || got.Contract == "" {
		t.Errorf("exit %d, %s, %v", code, stdout, err)
	}
	if _, stdout, _ = cli(t, nil, "version"); !strings.HasPrefix(stdout, "hookferry "+got.Version) {
		t.Errorf("got %q", stdout)
	}
}

// The completions that a shell asks for are those of the program.
func TestAShellIsToldWhatCanFollow(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{"ke": "keys", "keys cr": "create", "dev --ad": "--addr"} {
		if code, stdout, _ := cli(t, nil, append([]string{"__complete"}, strings.Fields(line)...)...); code != 0 || !strings.HasPrefix(stdout, want) {
			t.Errorf("%s: exit %d, got %q, want %q", line, code, stdout, want)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		code, script, _ := cli(t, nil, "completion", shell)
		if code != 0 || len(script) < 1000 {
			t.Errorf("%s: exit %d, %d characters", shell, code, len(script))
		}
		if path, err := exec.LookPath(shell); err == nil && shell == "bash" {
			cmd := exec.Command(path, "-n")
			cmd.Stdin = strings.NewReader(script)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s does not read its script: %v %s", shell, err, out)
			}
		}
	}
}

// clientFlagsOf reads flags of a command that calls the API.
func clientFlagsOf(t testing.TB, args []string) clientFlags {
	t.Helper()
	c := &cobra.Command{Use: "x"}
	flags := addClientFlags(c.Flags())
	if err := c.Flags().Parse(longFlags(c, args)); err != nil {
		t.Fatal(err)
	}
	return flags
}
