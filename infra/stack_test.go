//go:build cdk

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

func TestMain(m *testing.M) {
	for k, v := range map[string]string{"JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20", "JSII_DEPRECATED": "quiet"} {
		os.Setenv(k, v)
	}
	code := m.Run()
	jsii.Close()
	os.Exit(code)
}

// A template is what CloudFormation is given.
type template struct {
	Resources map[string]resource       `json:"Resources"`
	Outputs   map[string]map[string]any `json:"Outputs"`
}

type resource struct {
	Type       string         `json:"Type"`
	Properties map[string]any `json:"Properties"`
	DependsOn  any            `json:"DependsOn"`
	Deletion   string         `json:"DeletionPolicy"`
}

// of returns the resources of a type, by name.
func (tpl template) of(typ string) map[string]resource {
	found := map[string]resource{}
	for id, r := range tpl.Resources {
		if r.Type == typ {
			found[id] = r
		}
	}
	return found
}

// one returns the only resource of a type whose property, a path with dots, is value.
func (tpl template) one(t *testing.T, typ, path string, value any) resource {
	t.Helper()
	var found []resource
	for _, r := range tpl.of(typ) {
		if path == "" || r.at(path) == value {
			found = append(found, r)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d resources of type %s with %s %v, want one", len(found), typ, path, value)
	}
	return found[0]
}

// at returns a property by its path; numbers are indexes.
func (r resource) at(path string) any {
	return at(r.Properties, path)
}

func at(v any, path string) any {
	for part := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[part]
		case []any:
			var i int
			if _, err := fmt.Sscan(part, &i); err != nil || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

// synth returns the template of the app with the context, in bytes and decoded.
// Errors of the app come back; those of the rules fail the synthesis.
func synth(t *testing.T, context map[string]any) ([]byte, template, error) {
	t.Helper()
	all := maps.Clone(cdkContext(t))
	all["assets"] = assets(t)
	maps.Copy(all, context)
	out := t.TempDir()
	app := awscdk.NewApp(&awscdk.AppProps{Outdir: jsii.String(out), Context: &all, AnalyticsReporting: jsii.Bool(false)})
	if err := compose(app); err != nil {
		return nil, template{}, err
	}
	if err := trySynth(app); err != nil {
		return nil, template{}, err
	}
	files, err := filepath.Glob(filepath.Join(out, "*.template.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v: %v", files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var tpl template
	if err := json.Unmarshal(b, &tpl); err != nil {
		t.Fatal(err)
	}
	return b, tpl, nil
}

// trySynth turns the panic by which the library reports an error into one.
func trySynth(app awscdk.App) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	app.Synth(&awscdk.StageSynthesisOptions{ErrorOnDuplicateSynth: jsii.Bool(false)})
	return nil
}

// cdkContext returns the feature flags of cdk.json, as the command line passes them.
func cdkContext(t *testing.T) map[string]any {
	t.Helper()
	b, err := os.ReadFile("cdk.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Context map[string]any `json:"context"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	return file.Context
}

// assets returns a folder with a stand-in for each built function.
func assets(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range functions {
		if err := os.MkdirAll(filepath.Join(dir, f.name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f.name, "bootstrap"), []byte("not built: "+f.name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The contexts that the tests look at: a deployment with defaults, and one that
// sets everything.
var (
	defaults = map[string]any{}
	full     = map[string]any{
		"stage": "prod", "domainName": "hooks.example.com", "certificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/11111111-2222-3333-4444-555555555555",
		"keepDefaultName": "false", "budgetUSD": "500", "alarmEmail": "oncall@example.com", "retentionDays": "90", "logRetentionDays": "60", "retrySchedule": "0s,30s,10m", "deliveryTimeout": "15s",
		"connectTimeout": "2s", "headerPrefix": "Acme", "siviBaseUrl": "https://sivi.example.com/api/prod/v2", "failingAfter": "48h", "expectFirst": "5m",
		"expectGiveUp": "12h", "endpointLimit": "50", "shards": "16", "logLevel": "debug", "subjectLookup": "false", "eventsConcurrency": "500", "retriesConcurrency": "100",
		"eventsWindow": "1", "dispatcherMemory": "1024", "watch": "full", "inboundRate": "10000", "inboundBurst": "5000", "managementRate": "500", "managementBurst": "1000", "deletionProtection": "true",
		"warmWrites": "20000", "warmReads": "30000", "firstDeployment": "false", "tableName": "hookferry-prod-table", "receiverReserved": "200", "apiReserved": "50", "traceRate": "0", "tags": "team=relay,cost=42", "revision": "keyring-2",
	}
)

type synthesized struct {
	once sync.Once
	raw  []byte
	tpl  template
	err  error
}

var synthDefaults, synthFull synthesized

// templates returns the template of both deployments, made once.
func templates(t *testing.T) map[string]template {
	t.Helper()
	all := map[string]template{}
	for name, s := range map[string]*synthesized{"defaults": &synthDefaults, "full": &synthFull} {
		context := map[string]map[string]any{"defaults": defaults, "full": full}[name]
		s.once.Do(func() { s.raw, s.tpl, s.err = synth(t, context) })
		if s.err != nil {
			t.Fatalf("%s: %v", name, s.err)
		}
		all[name] = s.tpl
	}
	return all
}

func both(t *testing.T, check func(t *testing.T, tpl template)) {
	t.Helper()
	all := templates(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) { check(t, all[name]) })
	}
}

func TestFullSetsEveryParameter(t *testing.T) {
	for _, par := range parameters {
		if _, ok := full[par.name]; !ok && par.name != "assets" {
			t.Errorf("the full deployment leaves %s at its default", par.name)
		}
	}
}
