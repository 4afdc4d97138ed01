package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hookferry/shared/relay"
	"hookferry/shared/verify/verifytest"
)

// The command of the guide to receiving safely runs as it stands there, with a
// receiver of this machine and its secret for those that a person has.
func TestTheCommandOfTheGuideToReceiving(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../shared/verify/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```sh\n")
	command, _, found := strings.Cut(rest, "```")
	if !found || strings.Contains(rest, "```sh\n") {
		t.Fatal("want one block of shell commands in the guide")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(exe, filepath.Join(bin, "hookferry")); err != nil {
		t.Fatal(err)
	}
	secret := relay.NewSigningSecret().Reveal()
	command = strings.NewReplacer("whsec_…", secret, "http://localhost:3000/hook", verifytest.Start(t, "go", false, secret)).Replace(command)
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", command)
	cmd.Env = append(hookferry(t, nil).Env, "PATH="+bin+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "the receiver is sound") {
		t.Errorf("%v: %s", err, out)
	}
}
