//go:build cdk

package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

var assetHash = regexp.MustCompile(`[0-9a-f]{64}`)

// golden compares text with a file of testdata, or writes it there.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; -update writes it):\n%s", path, diff)
	}
}

func TestTheTemplateIsTheOneThatWasReviewed(t *testing.T) {
	templates(t)
	for name, raw := range map[string][]byte{"defaults.template.json": synthDefaults.raw, "full.template.json": synthFull.raw} {
		golden(t, name, append(assetHash.ReplaceAll(bytes.TrimSpace(raw), []byte("ASSET")), '\n'))
	}
}
