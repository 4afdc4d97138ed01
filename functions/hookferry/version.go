package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"hookferry/shared/relay"
)

// release is the version of a released program; the linker sets it. It is empty
// in one that was built from a working copy.
var release = ""

// A build says which program this is.
type build struct {
	Version  string `json:"version"`  // of the release, or devel
	Revision string `json:"revision"` // of the source, empty if not known
	Modified bool   `json:"modified"` // the source was changed after the revision
	Contract string `json:"contract"` // of the wire
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// thisBuild reads what the compiler wrote into the program.
func thisBuild() build {
	b := build{Version: release, Contract: relay.APIVersion, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if b.Version == "" {
		b.Version = "devel"
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Revision = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	return b
}

func (b build) String() string {
	s := "hookferry " + b.Version
	if b.Revision != "" {
		s += " (" + b.Revision[:min(12, len(b.Revision))]
		if b.Modified {
			s += ", changed"
		}
		s += ")"
	}
	return fmt.Sprintf("%s, contract %s, %s %s", s, b.Contract, b.Go, b.Platform)
}

func versionCommand(p program) *cobra.Command {
	c := verb("version", "say which program this is", "Say which program this is: its version, source, contract and platform.",
		"hookferry version", "hookferry version -json")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(*cobra.Command, []string) error {
		if *asJSON {
			return printJSON(p.out, thisBuild())
		}
		_, err := fmt.Fprintln(p.out, thisBuild())
		return err
	}
	return c
}
