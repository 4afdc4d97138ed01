//go:build rehearse

package rehearse

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// loopbackFile is laid over the source of package egress, as the tests of the
// functions do: for the built functions 127.0.0.1 is a public address, and
// everything else of the guard is as it is deployed.
const loopbackFile = `package egress

import "net/netip"

func init() {
	for i := range special {
		if special[i].prefix == netip.MustParsePrefix("127.0.0.0/8") {
			special[i].prefix = netip.MustParsePrefix("127.0.0.0/32")
			return
		}
	}
	panic("the loopback addresses are not where they were")
}
`

// root is the module's own directory.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// An overlay lays texts over files of the module, by their paths in it.
func writeOverlay(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, replace := t.TempDir(), map[string]string{}
	for name, text := range files {
		path := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root(t), name)] = path
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// build builds programs of the module for this machine and returns the bytes of
// each, with texts laid over its source.
func build(t *testing.T, files map[string]string, names ...string) map[string][]byte {
	t.Helper()
	out := t.TempDir()
	args := []string{"build", "-trimpath", "-tags", "lambda.norpc", "-overlay", writeOverlay(t, files), "-o", out + "/"}
	for _, name := range names {
		args = append(args, "./functions/"+name)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = root(t), append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %v: %v\n%s", names, err, text)
	}
	built := map[string][]byte{}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		built[name] = text
	}
	return built
}

// withLoopback adds the overlay that every rehearsed function needs.
func withLoopback(files map[string]string) map[string]string {
	all := map[string]string{"shared/egress/rehearse_loopback.go": loopbackFile}
	for name, text := range files {
		all[name] = text
	}
	return all
}

// zipped returns the archive that Lambda takes of a program.
func zipped(t *testing.T, program []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	f, err := w.CreateHeader(&zip.FileHeader{Name: "bootstrap", Method: zip.Store, ExternalAttrs: 0o755 << 16})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(program); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// upload puts the programs where the template says that its functions' code is,
// each under its name, or under another version of it that the template is then
// told.
func (e *emulator) upload(t *testing.T, tpl template, built map[string][]byte, version string) template {
	t.Helper()
	tpl = tpl.clone(t)
	for id, r := range tpl.of("AWS::Lambda::Function") {
		program := built[programOf(r)]
		if program == nil {
			t.Fatalf("%s: nothing was built for it", id)
		}
		key := programOf(r) + "-" + version + ".zip"
		e.put(t, "assets", key, zipped(t, program))
		properties(r)["Code"] = map[string]any{"S3Bucket": "assets", "S3Key": key}
	}
	return tpl
}

// programOf returns the program that a function of the template runs.
func programOf(r map[string]any) string {
	name := properties(r)["FunctionName"].(string)
	return name[strings.LastIndex(name, "-")+1:]
}
