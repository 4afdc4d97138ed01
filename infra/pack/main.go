// Command pack turns a synthesized template into one that needs neither Node nor
// Go nor a bootstrapped account: plain CloudFormation beside the functions'
// archives, for aws cloudformation deploy, or to be included in an app of another
// language. The archives go into a bucket that the template's parameters name.
package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	template := flag.String("template", "", "synthesized `template`")
	build := flag.String("build", "build", "`directory` of the built functions")
	out := flag.String("out", "dist/cloudformation", "`directory` to write")
	flag.Parse()
	if err := pack(*template, *build, *out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// pack writes the plain template and an archive for each function.
func pack(template, build, out string) error {
	text, err := os.ReadFile(template)
	if err != nil {
		return err
	}
	var tpl map[string]any
	if err := json.Unmarshal(text, &tpl); err != nil {
		return fmt.Errorf("%s: %w", template, err)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	resources, _ := tpl["Resources"].(map[string]any)
	functions := 0
	for id, r := range resources {
		r, _ := r.(map[string]any)
		delete(r, "Metadata") // paths of the app that made it
		if r["Type"] != "AWS::Lambda::Function" {
			continue
		}
		properties, _ := r["Properties"].(map[string]any)
		name, _ := properties["FunctionName"].(string)
		name = name[strings.LastIndex(name, "-")+1:]
		archive, err := zipped(filepath.Join(build, name, "bootstrap"))
		if err != nil {
			return fmt.Errorf("function %s: %w", id, err)
		}
		sum := sha256.Sum256(archive)
		key := name + "-" + hex.EncodeToString(sum[:8]) + ".zip"
		if err := os.WriteFile(filepath.Join(out, key), archive, 0o644); err != nil {
			return err
		}
		properties["Code"] = map[string]any{"S3Bucket": map[string]any{"Ref": "CodeBucket"}, "S3Key": map[string]any{"Fn::Sub": "${CodePrefix}" + key}}
		functions++
	}
	if functions == 0 {
		return errors.New("the template has no function")
	}
	// What the CDK's own deployment needs and nobody else.
	delete(tpl, "Rules")
	tpl["Parameters"] = map[string]any{
		"CodeBucket": map[string]any{"Type": "String", "Description": "The bucket, in this region, that the archives are in"},
		"CodePrefix": map[string]any{"Type": "String", "Default": "", "Description": "What their keys begin with, like hookferry/"},
	}
	plain, err := json.MarshalIndent(tpl, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "template.json"), append(plain, '\n'), 0o644)
}

// zipped returns the archive that Lambda takes of a program: the same bytes each
// time.
func zipped(program string) ([]byte, error) {
	text, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	header := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	header.SetMode(0o755)
	f, err := w.CreateHeader(header)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
