package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"hookferry/shared/client"
	"hookferry/shared/relay"
)

// defaultURL is where dev answers unless it is told otherwise.
const defaultURL = "http://127.0.0.1:8080"

// localData is the data folder that the README teaches: a command that is not told
// where to work takes it if it is there.
const localData = ".hookferry"

// clientFlags say which relay a command calls and as whom. Of several places the
// first that is given counts: -api, -data, -profile, the environment, the profile
// that the configuration names, .hookferry in this folder. The key comes from the
// place that the address comes from, so that none goes to a relay it is not for;
// -key-file stands above all.
type clientFlags struct {
	api, data, profile *string
	key                secretFlag
}

func addClientFlags(fs *pflag.FlagSet) clientFlags {
	return clientFlags{
		api:     fs.String("api", "", "`URL` of the relay's API (default: HOOKFERRY_URL)"),
		key:     addSecretFlag(fs, "key", "HOOKFERRY_API_KEY", "the API key"),
		data:    fs.String("data", "", "the `DIR` that hookferry dev runs on, for its address and key (default: .hookferry, if it is here)"),
		profile: fs.String("profile", "", "the profile called `NAME` of the configuration file (default: HOOKFERRY_PROFILE)"),
	}
}

// client returns what calls the API.
func (f clientFlags) client(p program) (*client.Client, error) {
	base, key, err := f.access(p)
	if err != nil {
		return nil, err
	}
	return client.New(base, key)
}

// access finds the address and the key, which is not empty.
func (f clientFlags) access(p program) (base string, key relay.Secret, err error) {
	if base, key, err = f.place(p); err != nil {
		return "", "", err
	}
	if f.key.given() {
		if key, err = f.key.read(p); err != nil {
			return "", "", err
		}
	}
	if key == "" {
		return "", "", fmt.Errorf("no API key for %s: set HOOKFERRY_API_KEY, or name a file with -key-file, or a running hookferry dev with -data", base)
	}
	return base, key, nil
}

// place finds the address, and the key that belongs to it.
func (f clientFlags) place(p program) (base string, key relay.Secret, err error) {
	env := func(name string) string { v, _ := p.lookup(name); return strings.TrimSpace(v) }
	envKey := relay.Secret(env("HOOKFERRY_API_KEY"))
	switch name := cmp.Or(*f.profile, env("HOOKFERRY_PROFILE")); {
	case *f.data != "":
		base, key, err = devPlace(*f.data, f.key.given())
		return cmp.Or(*f.api, base), key, err
	case *f.api != "":
		return *f.api, envKey, nil
	case *f.profile != "" || name != "" && env("HOOKFERRY_URL") == "":
		return profilePlace(p, name)
	case env("HOOKFERRY_URL") != "":
		return env("HOOKFERRY_URL"), envKey, nil
	}
	base, key, err = profilePlace(p, "")
	if err != nil || base != "" {
		return base, key, err
	}
	if envKey != "" {
		return defaultURL, envKey, nil
	}
	if _, err := os.Stat(filepath.Join(localData, keyFile)); err == nil {
		return devPlace(localData, f.key.given())
	}
	return defaultURL, "", nil
}

// devPlace reads what hookferry dev left in its data folder.
func devPlace(dir string, keyGiven bool) (base string, key relay.Secret, err error) {
	base = defaultURL
	if b, err := readBounded(filepath.Join(dir, addressFile)); err == nil {
		base = strings.TrimSpace(string(b))
	}
	b, err := readBounded(filepath.Join(dir, keyFile))
	if err != nil && !keyGiven {
		return "", "", fmt.Errorf("no API key: %w; start hookferry dev -data %s first, or give -key-file", err, dir)
	}
	return base, relay.Secret(strings.TrimSpace(string(b))), nil
}

// A settingsFile is the configuration: named relays, and which one is meant when
// nothing else is said. It is JSON.
type settingsFile struct {
	Profile  string                `json:"profile"`
	Profiles map[string]namedRelay `json:"profiles"`
}

// A namedRelay is one profile. The key stands in a file of its own, or, if nobody else
// may read the configuration, in it.
type namedRelay struct {
	URL        string       `json:"url"`
	APIKeyFile string       `json:"api_key_file"`
	APIKey     relay.Secret `json:"api_key"`
}

// settingsPath is where the configuration is, or empty if there is no such place.
func settingsPath(p program) string {
	for _, at := range [][2]string{{"HOOKFERRY_CONFIG", ""}, {"XDG_CONFIG_HOME", "hookferry/config.json"}, {"HOME", ".config/hookferry/config.json"}, {"AppData", "hookferry/config.json"}} {
		if v, _ := p.lookup(at[0]); v != "" {
			return filepath.Join(v, filepath.FromSlash(at[1]))
		}
	}
	return ""
}

// profilePlace reads a profile; an empty name is the one that the file names. With
// neither there is no address.
func profilePlace(p program, name string) (base string, key relay.Secret, err error) {
	path := settingsPath(p)
	raw, err := readBounded(path)
	if path == "" || errors.Is(err, fs.ErrNotExist) {
		if name == "" {
			return "", "", nil
		}
		return "", "", fmt.Errorf("there is no profile %q: the configuration would be in %s, like %s", name, cmp.Or(path, "the file that HOOKFERRY_CONFIG names"), settingsExample)
	}
	if err != nil {
		return "", "", err
	}
	var file settingsFile
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		return "", "", fmt.Errorf("%s: %w; it is like %s", path, err, settingsExample)
	}
	if name = cmp.Or(name, file.Profile); name == "" {
		return "", "", nil
	}
	at, ok := file.Profiles[name]
	if !ok {
		return "", "", fmt.Errorf("%s has no profile %q; it has: %s", path, name, strings.Join(slices.Sorted(maps.Keys(file.Profiles)), ", "))
	}
	switch {
	case at.URL == "":
		return "", "", fmt.Errorf("%s: profile %s has no url", path, name)
	case at.APIKey != "" && at.APIKeyFile != "":
		return "", "", fmt.Errorf("%s: profile %s has api_key and api_key_file; give one", path, name)
	case at.APIKey != "":
		return at.URL, at.APIKey, readableByOthers(path)
	case at.APIKeyFile != "":
		file := at.APIKeyFile
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(path), file)
		}
		b, err := readBounded(file)
		if err != nil {
			return "", "", fmt.Errorf("the key of profile %s: %w", name, err)
		}
		return at.URL, relay.Secret(strings.TrimSpace(string(b))), readableByOthers(file)
	}
	return at.URL, "", nil
}

const settingsExample = `{"profile":"prod","profiles":{"prod":{"url":"https://hooks.example.com","api_key_file":"prod.key"}}}`

// readableByOthers refuses a file with a secret that others on this machine may
// read.
func readableByOthers(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return fmt.Errorf("%s has mode %04o, and it holds an API key; run: chmod go= %s", path, mode, path)
	}
	return nil
}
