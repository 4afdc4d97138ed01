package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

func TestReadyAsksTheRelay(t *testing.T) {
	t.Parallel()
	r := dev(t, start{})
	addr := strings.TrimPrefix(r.API, "http://")
	if said := ok(t, nil, "ready", "-addr", addr); said != "ready\n" {
		t.Errorf("says %q", said)
	}
	ailing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no answer from: \x1bstore", http.StatusServiceUnavailable)
	}))
	defer ailing.Close()
	for addr, want := range map[string]string{strings.TrimPrefix(ailing.URL, "http://"): `503: no answer from: \u001bstore`, "127.0.0.1:1": "no answer from 127.0.0.1:1"} {
		if code, _, said := cli(t, nil, "ready", "-addr", addr); code != exitFailed || !strings.Contains(said, want) {
			t.Errorf("%s: exit %d, %q, want %q", addr, code, said, want)
		}
	}
}

// takesItsFlags asks the program whether it would take a command line that stands in
// a file.
func takesItsFlags(t *testing.T, args []string) {
	t.Helper()
	root := newRoot(program{})
	c, rest, err := root.Find(longFlags(root, args))
	if err == nil {
		err = c.ParseFlags(rest)
	}
	if err != nil || !c.Runnable() {
		t.Errorf("hookferry %q: %v", args, err)
	}
}

func TestTheUnitOfSystemdStartsThisProgramAndKeepsItIn(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("deploy/hookferry.service")
	if err != nil {
		t.Fatal(err)
	}
	start := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/hookferry (.*)$`).FindSubmatch(text)
	if start == nil {
		t.Fatal("it does not start the program")
	}
	takesItsFlags(t, strings.Fields(string(start[1])))
	for _, want := range []string{
		"DynamicUser=yes", "StateDirectoryMode=0700", "ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet=", "SystemCallFilter=@system-service",
		"RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX", "MemoryDenyWriteExecute=yes", "UMask=0077",
	} {
		if !strings.Contains(string(text), "\n"+want+"\n") {
			t.Errorf("it has no %s", want)
		}
	}
	if path, err := exec.LookPath("systemd-analyze"); err == nil {
		out, err := exec.Command(path, "verify", "--man=no", "deploy/hookferry.service").CombinedOutput()
		if err != nil && !strings.Contains(string(out), "/usr/local/bin/hookferry is not executable") {
			t.Errorf("systemd-analyze: %v\n%s", err, out)
		}
	}
}

func TestTheContainerRunsThisProgramAsNobody(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("deploy/Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, last, _ := strings.Cut(string(text), "\nFROM scratch\n")
	if !regexp.MustCompile(`(?m)^USER [1-9]\d+:[1-9]\d+$`).MatchString(last) {
		t.Error("it runs as root, or as a name that scratch does not know")
	}
	words := regexp.MustCompile(`"([^"]*)"`)
	for _, instruction := range []string{"CMD", "HEALTHCHECK"} {
		line := regexp.MustCompile(`(?m)^` + instruction + ` .*$`).FindString(last)
		var args []string
		for _, m := range words.FindAllStringSubmatch(line, -1) {
			args = append(args, m[1])
		}
		if instruction == "HEALTHCHECK" && len(args) > 0 && args[0] == "/hookferry" {
			args = args[1:]
		}
		if len(args) == 0 {
			t.Fatalf("%s is not in its JSON form: %q", instruction, line)
		}
		takesItsFlags(t, args)
	}
	for _, no := range []string{"ADD ", "RUN ", "curl"} {
		if strings.Contains(last, "\n"+no) {
			t.Errorf("the last stage has %s", no)
		}
	}
}
