// Command bill says what is in released programs: it reads the modules that the
// compiler wrote into each, and writes a bill of materials (CycloneDX) and the
// licences of all of them. The same programs give the same bytes.
//
//	go run ./.ci/bill VERSION DIR PROGRAM...
package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

type module struct{ path, version, sum string }

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: bill VERSION DIR PROGRAM...")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "bill:", err)
		os.Exit(1)
	}
}

func run(version, dir string, programs []string) error {
	found := map[string]module{}
	for _, program := range programs {
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			return err
		}
		for _, d := range info.Deps {
			if d.Replace != nil {
				d = d.Replace
			}
			found[d.Path] = module{d.Path, d.Version, d.Sum}
		}
	}
	var modules []module
	for _, path := range slices.Sorted(maps.Keys(found)) {
		modules = append(modules, found[path])
	}
	if err := writeBill(filepath.Join(dir, "sbom.cdx.json"), version, modules); err != nil {
		return err
	}
	return writeNotices(filepath.Join(dir, "THIRD-PARTY-NOTICES.txt"), modules)
}

func writeBill(path, version string, modules []module) error {
	type component struct {
		Type       string              `json:"type"`
		Ref        string              `json:"bom-ref,omitempty"`
		Name       string              `json:"name"`
		Version    string              `json:"version"`
		PURL       string              `json:"purl"`
		Properties []map[string]string `json:"properties,omitempty"`
	}
	components := []component{{Type: "library", Name: "std", Version: runtime.Version(), PURL: "pkg:golang/std@" + strings.TrimPrefix(runtime.Version(), "go")}}
	for _, m := range modules {
		purl := "pkg:golang/" + m.path + "@" + m.version
		components = append(components, component{
			Type: "library", Ref: purl, Name: m.path, Version: m.version, PURL: purl,
			Properties: []map[string]string{{"name": "go:sum", "value": m.sum}},
		})
	}
	bill := map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
		"metadata":   map[string]any{"component": component{Type: "application", Name: "hookferry", Version: version, PURL: "pkg:golang/hookferry@" + version}},
		"components": components,
	}
	text, err := json.MarshalIndent(bill, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

var licence = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([.-].*)?$`)

// writeNotices puts the licence files of every module into one text. A module
// without any is an error: it may not be passed on.
func writeNotices(path string, modules []module) error {
	var out bytes.Buffer
	fmt.Fprintln(&out, "Hookferry contains the following software of others, under these terms.")
	add := func(title, dir string) error {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		n := 0
		for _, e := range entries {
			if e.IsDir() || !licence.MatchString(e.Name()) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				return err
			}
			n++
			fmt.Fprintf(&out, "\n%s\n%s: %s\n\n%s\n", strings.Repeat("-", 78), title, e.Name(), bytes.TrimSpace(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))))
		}
		if n == 0 {
			return fmt.Errorf("%s has no licence file", title)
		}
		return nil
	}
	if err := add("Go "+runtime.Version(), runtime.GOROOT()); err != nil {
		return err
	}
	for _, m := range modules {
		dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", m.path).Output()
		if err != nil {
			return fmt.Errorf("where %s is: %w", m.path, err)
		}
		if err := add(m.path+" "+m.version, strings.TrimSpace(string(dir))); err != nil {
			return err
		}
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}
