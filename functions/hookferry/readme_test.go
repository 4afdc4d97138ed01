package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// readmeCommands returns the shell commands of a page from one heading on to
// another; an empty heading is the page's beginning or end.
func readmeCommands(t testing.TB, page, from, to string) (commands []string) {
	t.Helper()
	text, err := os.ReadFile("../../" + page)
	if err != nil {
		t.Fatal(err)
	}
	section, ok := string(text), true
	if from != "" {
		_, section, ok = strings.Cut(section, "\n"+from+"\n")
	}
	if to != "" && ok {
		section, _, ok = strings.Cut(section, "\n"+to+"\n")
	}
	if !ok {
		t.Fatalf("%s has no %q before a %q", page, from, to)
	}
	for i, block := range strings.Split(section, "```") {
		code, isShell := strings.CutPrefix(block, "sh\n")
		if i%2 == 0 || !isShell {
			continue
		}
		for line := range strings.Lines(strings.ReplaceAll(code, "\\\n", "")) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				commands = append(commands, line)
			}
		}
	}
	return commands
}

// TestTheCallsOfTheREADME makes the calls of "Use it" and of the guides to Rivya
// and Sivi in order and as they stand there, with addresses of this machine
// for those of the internet, and for each … what a person copies from an answer.
func TestTheCallsOfTheREADME(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not on this machine: the README's commands were not tried", tool)
		}
	}
	dir := t.TempDir()
	api, hook, designs, own := newSiviAPI(t), newDestination(t, nil), newDestination(t, nil), newDestination(t, nil)
	r := dev(t, start{env: []string{"SIVI_BASE_URL=" + api.URL}, args: []string{"-data", filepath.Join(dir, ".hookferry")}})

	var endpoint, source, ingest, exports string
	var answers []string
	commands := slices.Concat(readmeCommands(t, "README.md", "## Use it", "## Run it for real"),
		readmeCommands(t, "shared/receiver/README.md", "", ""), readmeCommands(t, "shared/sivi/README.md", "", ""))
	for _, command := range commands {
		if strings.HasPrefix(command, "go build ") || strings.HasPrefix(command, "bin/hookferry dev ") {
			continue // this relay is running
		}
		if line, ok := strings.CutPrefix(command, "bin/hookferry "); ok {
			line = strings.ReplaceAll(line, ".hookferry", filepath.Join(dir, ".hookferry"))
			if said := output(t, nil, strings.Fields(line)...); strings.Count(said, "\n") < 2 {
				t.Errorf("%s\nsays %s", command, said)
			}
			continue
		}
		command = strings.NewReplacer(
			"http://127.0.0.1:8080", r.API,
			"https://connect.sivi.ai/api/prod/v2", api.URL,
			"https://example.com/hook", hook.URL,
			"https://example.com/designs", designs.URL,
			"https://example.com/sivi", own.URL,
			"whend_…", endpoint, "src_…", source, "http…", ingest, "whsec_…", "whsec_that_rivya_showed",
			"SIVI_KEY=…", "SIVI_KEY="+siviKey,
		).Replace(command)
		if strings.HasPrefix(command, "export ") {
			exports += command + "\n"
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", exports+command)
		cmd.Dir = dir
		out, err := cmd.Output()
		cancel()
		var answer struct {
			Object    string
			ID        string
			IngestURL string `json:"ingest_url"`
			Body      struct{ Message string }
			Data      []struct{ Object, Type, Status string }
		}
		if err == nil {
			err = json.Unmarshal(out, &answer)
		}
		if err != nil {
			t.Fatalf("%s\nanswered %s: %v", command, out, err)
		}
		said := answer.Object + answer.Body.Message
		switch {
		case answer.Object == "webhook_endpoint":
			endpoint = answer.ID
		case answer.Object == "webhook_source":
			source, ingest = answer.ID, answer.IngestURL
		case strings.HasPrefix(answer.ID, "evt_"): // ours or, with no object, the receiver's
			r.event(answer.ID, "delivered")
			said = "event"
		case len(answer.Data) > 0:
			said += " of " + answer.Data[0].Object
		}
		if said == "" {
			t.Fatalf("%s\nanswered %s", command, out)
		}
		answers = append(answers, said)
	}
	const updated = "Successfully updated the webhook URL"
	if diff := cmp.Diff([]string{
		"webhook_endpoint", "event", "event", "list of webhook_delivery",
		"webhook_source", "webhook_source",
		"webhook_source", "webhook_endpoint", "event", "list of webhook_event", "webhook_source",
		"list of expectation", "list of expectation", updated, updated,
	}, answers); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	if n := len(hook.deliveries()); n != 3 {
		t.Errorf("the first endpoint got %d deliveries, want the test, the order and the design", n)
	}
	if d := designs.deliveries(); len(d) != 1 || !strings.HasPrefix(string(d[0].body), `{"status":200,"body":{"requestId":"try-1",`) {
		t.Errorf("the endpoint in format sivi got %d deliveries, want Sivi's body", len(d))
	}
	if !slices.Equal(api.webhooks, []string{ingest}) {
		t.Errorf("Sivi was told to call %q, want %s", api.webhooks, ingest)
	}
}

// The first commands of the README are those that a stranger types first.
func TestTheREADMEBeginsWithWhatToType(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(text), "# Hookferry\n\n```sh\ngo run ./functions/hookferry try ") || !strings.Contains(string(text[:300]), "\nmake test ") {
		t.Errorf("it begins with %.300s", text)
	}
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil || !strings.Contains(string(makefile), "\ntest: ##") {
		t.Errorf("make has no target test: %v", err)
	}
}
