package main

import (
	"archive/zip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestThePlainTemplateNeedsNothingOfTheCDK packs the reviewed template.
func TestThePlainTemplateNeedsNothingOfTheCDK(t *testing.T) {
	build, out := t.TempDir(), t.TempDir()
	for _, name := range []string{"api", "receiver", "dispatcher", "repair"} {
		if err := os.MkdirAll(filepath.Join(build, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(build, name, "bootstrap"), []byte("program "+name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := pack("../testdata/defaults.template.json", build, out); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(out, "template.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, no := range []string{"cdk", "BootstrapVersion", "ASSET"} {
		if strings.Contains(string(text), no) {
			t.Errorf("the template speaks of %s", no)
		}
	}
	var tpl struct {
		Parameters map[string]any
		Rules      any
		Resources  map[string]struct {
			Type       string
			Properties struct {
				FunctionName any // of a mapping it is a reference
				Code         struct {
					S3Bucket map[string]string
					S3Key    map[string]string
				}
			}
		}
	}
	if err := json.Unmarshal(text, &tpl); err != nil {
		t.Fatal(err)
	}
	if tpl.Rules != nil || len(tpl.Parameters) != 2 {
		t.Errorf("rules %v, parameters %v", tpl.Rules, tpl.Parameters)
	}
	seen := 0
	for _, r := range tpl.Resources {
		if r.Type != "AWS::Lambda::Function" {
			continue
		}
		seen++
		code := r.Properties.Code
		key := strings.TrimPrefix(code.S3Key["Fn::Sub"], "${CodePrefix}")
		if code.S3Bucket["Ref"] != "CodeBucket" {
			t.Errorf("%s: its code is in %v", r.Properties.FunctionName, code.S3Bucket)
		}
		z, err := zip.OpenReader(filepath.Join(out, key))
		if err != nil {
			t.Fatalf("%s: %v", r.Properties.FunctionName, err)
		}
		defer z.Close()
		if len(z.File) != 1 || z.File[0].Name != "bootstrap" || z.File[0].Mode().Perm() != 0o755 {
			t.Fatalf("%s holds %v", key, z.File)
		}
		f, err := z.File[0].Open()
		if err != nil {
			t.Fatal(err)
		}
		program, err := io.ReadAll(f)
		if err != nil || !strings.HasSuffix(fmt.Sprint(r.Properties.FunctionName), strings.TrimPrefix(string(program), "program ")) {
			t.Errorf("%s runs %q, %v", r.Properties.FunctionName, program, err)
		}
	}
	if seen != 4 {
		t.Errorf("%d functions", seen)
	}
}

func TestATemplateThatLacksAFunctionsProgramIsRefused(t *testing.T) {
	if err := pack("../testdata/defaults.template.json", t.TempDir(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "function ") {
		t.Errorf("got %v", err)
	}
}
