// Package protocol holds a model of the dispatcher's protocol in Promela, and the
// test that lets spin search it: see README.md.
package protocol

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	search = flag.Bool("protocol", false, "search the model with spin (make proof); takes about two minutes")
	update = flag.Bool("update", false, "write the counter-examples anew")
)

// A check is one search of the model.
type check struct {
	name    string
	defines []string // for the model
	compile []string // for the searcher
	run     []string
}

func safety(name string, defines ...string) check {
	return check{name, defines, []string{"-DSAFETY", "-DNOCLAIM"}, []string{"-m200000"}}
}

func liveness(name string, defines ...string) check {
	return check{name, defines, []string{"-DNFAIR=3"}, []string{"-a", "-f", "-m400000", "-N", "live"}}
}

var (
	errorsLine = regexp.MustCompile(`errors: (\d+)`)
	statesLine = regexp.MustCompile(`(?m)^\s*(\d+) states, stored`)
)

// search runs spin in a folder of its own. It returns how many states there are,
// and the steps of the counter-example, empty if there is none.
func (c check) search(t *testing.T) (states, trace string) {
	t.Helper()
	dir := t.TempDir()
	model, err := os.ReadFile("protocol.pml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "protocol.pml"), model, 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil && name != "./pan" && name != "spin" {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	run("spin", append(append([]string{"-a"}, c.defines...), "protocol.pml")...)
	run("gcc", append(append([]string{"-O2", "-w", "-DCOLLAPSE", "-DMEMLIM=4000"}, c.compile...), "-o", "pan", "pan.c")...)
	out := run("./pan", c.run...)
	found := errorsLine.FindStringSubmatch(out)
	if found == nil || strings.Contains(out, "max search depth too small") || strings.Contains(out, "reached -DMEMLIM") {
		t.Fatalf("the search did not end:\n%s", out)
	}
	if found[1] == "0" && strings.Contains(out, "Search not completed") {
		t.Fatalf("the search is not complete:\n%s", out)
	}
	if n := statesLine.FindStringSubmatch(out); n != nil {
		states = n[1]
	}
	if found[1] != "0" {
		for line := range strings.Lines(run("spin", append(append([]string{"-t", "-T", "-B"}, c.defines...), "protocol.pml")...)) {
			if !strings.HasPrefix(line, "spin:") && !strings.HasPrefix(line, "ltl ") {
				trace += line
			}
		}
		if i := strings.Index(out, "pan:1: "); i >= 0 {
			line, _, _ := strings.Cut(out[i+len("pan:1: "):], "\n")
			trace += line + "\n"
		}
	}
	return states, trace
}

func need(t *testing.T) {
	t.Helper()
	if !*search {
		t.Skip("the model is searched by make proof (-protocol)")
	}
	for _, tool := range []string{"spin", "gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is not installed; on Debian: apt-get install spin gcc", tool)
		}
	}
}

// With all rules no search finds anything: nothing is lost, nothing is called
// after a success that was on record, no call is repeated without cause, repair
// has nothing to do but for runs whose message was never sent; and every accepted
// event is accounted for in the end.
func TestTheProtocolKeepsItsPromises(t *testing.T) {
	need(t)
	for _, c := range []check{
		safety("safety, the provider calls twice"),
		safety("safety, a person retries", "-DPERSON"),
		liveness("liveness without copies", "-DPERSON", "-DCOPIES=0"),
		liveness("liveness without failing writes", "-DPERSON", "-DFAULTS=0"),
	} {
		states, trace := c.search(t)
		if trace != "" {
			t.Errorf("%s: broken:\n%s", c.name, trace)
		}
		t.Logf("%s: %s states", c.name, states)
	}
}

// Without any one of the rules a promise is broken: the model says so, and the
// counter-example is kept as a file that a person reads.
func TestEachRuleIsNeeded(t *testing.T) {
	need(t)
	for rule := 1; rule <= 8; rule++ {
		c := safety("", fmt.Sprintf("-DNO_RULE_%d", rule))
		if rule == 8 {
			c.defines = append(c.defines, "-DPERSON") // repair is for runs without a message
		}
		// Breadth first: the shortest that there is.
		c.compile = append(c.compile, "-DBFS")
		c.run = nil
		_, trace := c.search(t)
		if trace == "" {
			t.Errorf("nothing breaks without rule %d", rule)
			continue
		}
		file := filepath.Join("traces", fmt.Sprintf("without-rule-%d.txt", rule))
		if *update {
			if err := os.WriteFile(file, []byte(trace), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(want) != trace {
			t.Errorf("%s tells another story now (-update writes it anew):\n%s", file, trace)
		}
	}
}
