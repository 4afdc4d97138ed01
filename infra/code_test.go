//go:build cdk

package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hookferry/shared/config"
	"hookferry/shared/relay"
	"hookferry/shared/seal"
)

// parse returns the files of a package of this module, without tests.
func parse(t *testing.T, dir string) []*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %d files, %v", dir, len(names), err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// constant returns the text of a constant of a file.
func constant(t *testing.T, file, name string) string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if obj := f.Scope.Lookup(name); obj != nil {
		if spec, ok := obj.Decl.(*ast.ValueSpec); ok {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
	}
	t.Fatalf("%s has no constant %s", file, name)
	return ""
}

// closure returns the module's packages that a program imports, itself first.
func closure(t *testing.T, program string) []string {
	t.Helper()
	all := []string{program}
	for i := 0; i < len(all); i++ {
		for _, f := range parse(t, all[i]) {
			for _, imp := range f.Imports {
				path, _ := strconv.Unquote(imp.Path.Value)
				if dir, ok := strings.CutPrefix(path, "hookferry/"); ok && !slices.Contains(all, dir) {
					all = append(all, dir)
				}
			}
		}
	}
	return all
}

// lambdaSets are the variables that Lambda gives every function, and those that
// only point tests at stand-ins.
var lambdaSets = regexp.MustCompile(`^(AWS_REGION|AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY|AWS_SESSION_TOKEN|AWS_LAMBDA_FUNCTION_NAME|AWS_LAMBDA_FUNCTION_MEMORY_SIZE|AWS_ENDPOINT_URL_\w*)$`)

func TestTheStackSetsWhatTheFunctionsReadAndNothingElse(t *testing.T) {
	read := map[string]bool{}
	_, err := config.Load(func(name string) (string, bool) { read[name] = true; return "", false })
	if err != nil {
		t.Fatal(err)
	}
	// What reads the environment otherwise.
	variable := regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$`)
	for _, f := range functions {
		for _, dir := range closure(t, "functions/"+f.name) {
			if dir == "shared/config" {
				continue
			}
			for _, file := range parse(t, dir) {
				ast.Inspect(file, func(n ast.Node) bool {
					call, ok := n.(*ast.CallExpr)
					if !ok || len(call.Args) == 0 || !strings.Contains(strings.ToLower(name(call.Fun)), "lookup") && name(call.Fun) != "Getenv" {
						return true
					}
					if lit, ok := call.Args[0].(*ast.BasicLit); ok {
						if v, _ := strconv.Unquote(lit.Value); variable.MatchString(v) && !lambdaSets.MatchString(v) {
							read[v] = true
						}
					}
					return true
				})
			}
		}
	}
	// A function that is told to deliver to private addresses refuses to start.
	delete(read, "ALLOW_PRIVATE_DESTINATIONS")
	// What one node keeps of an account; a deployed table has no such bound.
	delete(read, "ACCOUNT_EVENTS")
	delete(read, "ACCOUNT_MIB")
	both(t, func(t *testing.T, tpl template) {
		for _, f := range functions {
			set := map[string]bool{}
			for v := range tpl.function(t, f.name).at("Environment.Variables").(map[string]any) {
				set[v] = true
			}
			if diff := cmp.Diff(read, set); diff != "" {
				t.Errorf("%s (-read +set):\n%s", f.name, diff)
			}
		}
	})
}

func TestTheFunctionsStartWithWhatTheStackSets(t *testing.T) {
	both(t, func(t *testing.T, tpl template) {
		for _, f := range functions {
			env := tpl.function(t, f.name).at("Environment.Variables").(map[string]any)
			got, err := config.Load(func(name string) (string, bool) {
				v, ok := env[name].(string)
				if !ok && env[name] != nil {
					return "https://example.com/" + strings.ToLower(name), true // a reference; what it resolves to is AWS's
				}
				return v, ok
			})
			if err != nil {
				t.Errorf("%s: %v", f.name, err)
				continue
			}
			if stageOf(tpl) == "prod" && (got.HeaderPrefix != "Acme" || got.Shards != 16 || got.RetrySchedule.String() != "0s,30s,10m0s" || got.EndpointLimit != 50) {
				t.Errorf("%s: settings do not arrive: %+v", f.name, got)
			}
		}
	})
}

// name returns what a call calls: the last part of its name.
func name(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.SelectorExpr:
		return x.Sel.Name
	case *ast.Ident:
		return x.Name
	}
	return ""
}

// parseGenerated checks that what Secrets Manager makes is a keyring.
func parseGenerated(t *testing.T, secret resource) {
	t.Helper()
	form := secret.at("GenerateSecretString.SecretStringTemplate").(string)
	n := int(secret.at("GenerateSecretString.PasswordLength").(float64))
	made := strings.TrimSuffix(form, "}") + `,"generated":"` + strings.Repeat("aB3", n)[:n] + `"}`
	if ring, err := seal.Parse([]byte(made)); err != nil || len(ring.Versions()) != 1 {
		t.Errorf("%s: %v", made, err)
	}
}

// written returns all text constants of the packages that the functions are of.
func written(t *testing.T) map[string]bool {
	t.Helper()
	texts := map[string]bool{}
	for _, f := range functions {
		for _, dir := range closure(t, "functions/"+f.name) {
			for _, file := range parse(t, dir) {
				ast.Inspect(file, func(n ast.Node) bool {
					if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
						if v, err := strconv.Unquote(lit.Value); err == nil {
							texts[v] = true
						}
					}
					return true
				})
			}
		}
	}
	return texts
}

func TestQueriesReadWhatTheFunctionsWrite(t *testing.T) {
	texts := written(t)
	for text := range map[string]bool{"level": true, "msg": true, "time": true} {
		texts[text] = true // slog's own
	}
	word := regexp.MustCompile(`"[a-zA-Z ]+_?"|[a-z@][a-zA-Z0-9_@]*`)
	keywords := strings.Fields("filter stats count latest by as sort desc asc limit fields ispresent or pct sum and @timestamp @log")
	for _, q := range queries {
		named := slices.Clone(keywords)
		for _, m := range regexp.MustCompile(` as (\w+)`).FindAllStringSubmatch(q.text, -1) {
			named = append(named, m[1])
		}
		for _, w := range word.FindAllString(q.text, -1) {
			w = strings.Trim(w, `"`)
			ours := texts[w] || texts[strings.TrimSuffix(w, "_max")]
			if slices.Contains(q.logs, "access") {
				ours = accessLine[w] != ""
			}
			if !ours && !slices.Contains(named, w) && w != "evt_" && w != "req_" && w != "ERROR" {
				t.Errorf("query %q reads %q, which no function writes", q.name, w)
			}
		}
	}
	for _, line := range []string{lineAttemptFailed, lineAudit} {
		if !texts[line] {
			t.Errorf("no function writes a line %q", line)
		}
	}
}

func TestTheReasonsAndClassesOfTheDashboardAreThoseOfTheCode(t *testing.T) {
	found := map[string]bool{}
	for _, f := range parse(t, "shared/receiver") {
		ast.Inspect(f, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && name(call.Fun) == "refusal" {
				if lit, ok := call.Args[0].(*ast.BasicLit); ok {
					v, _ := strconv.Unquote(lit.Value)
					found[v] = true
				}
			}
			return true
		})
	}
	want := map[string]bool{}
	for _, r := range rejectReasons {
		want[r] = true
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("reasons (-dashboard +receiver):\n%s", diff)
	}
	codes := map[string]bool{ // of skipped ones
		string(relay.CodeEndpointDisabled): true, string(relay.CodeCancelled): true, string(relay.CodeFormat): true, string(relay.CodeLoop): true,
	}
	for _, c := range attemptClasses {
		codes[c] = true
	}
	declared := map[string]bool{}
	for _, f := range parse(t, "shared/relay") {
		ast.Inspect(f, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok && spec.Type != nil && name(spec.Type) == "ErrorCode" {
				v, _ := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				declared[v] = true
			}
			return true
		})
	}
	if diff := cmp.Diff(codes, declared); diff != "" {
		t.Errorf("classes (-dashboard +relay):\n%s", diff)
	}
}

func TestEveryMetricOfOursThatIsShownIsWrittenByThatFunction(t *testing.T) {
	// Names of package telemetry's constants, by what they say.
	constants := map[string]string{}
	for _, f := range parse(t, "shared/telemetry") {
		ast.Inspect(f, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok && spec.Type != nil && (name(spec.Type) == "Count" || name(spec.Type) == "Measure") {
				v, _ := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				constants[v] = spec.Names[0].Name
			}
			return true
		})
	}
	writes := map[string]map[string]bool{}
	for _, f := range functions {
		writes[f.name] = map[string]bool{}
		for _, dir := range closure(t, "functions/"+f.name) {
			if dir == "shared/telemetry" {
				continue
			}
			for _, file := range parse(t, dir) {
				ast.Inspect(file, func(n ast.Node) bool {
					if sel, ok := n.(*ast.SelectorExpr); ok && name(sel.X) == "telemetry" {
						writes[f.name][sel.Sel.Name] = true
					}
					return true
				})
			}
		}
	}
	raw := string(synthDefaultsRaw(t))
	shown := regexp.MustCompile(`\\?"Hookferry\\?",\\?"([a-z_]+)\\?",\\?"Function\\?",\\?"([a-z]+)\\?"`).FindAllStringSubmatch(raw, -1)
	if len(shown) < 20 {
		t.Fatalf("%d metrics on the dashboard", len(shown))
	}
	check := func(metric, function string) {
		base := metric
		for _, c := range []string{"attempts_failed", "rejected"} {
			if strings.HasPrefix(metric, c+"_") {
				base = c
			}
		}
		if constants[base] == "" || !writes[function][constants[base]] {
			t.Errorf("%s of %s is shown, and not written", metric, function)
		}
	}
	for _, m := range shown {
		check(m[1], m[2])
	}
	for id, a := range templates(t)["defaults"].of("AWS::CloudWatch::Alarm") {
		list := []any{map[string]any{"MetricStat": map[string]any{"Metric": map[string]any{"Namespace": a.at("Namespace"), "MetricName": a.at("MetricName"), "Dimensions": a.at("Dimensions")}}}}
		if metrics, ok := a.at("Metrics").([]any); ok {
			list = metrics
		}
		for _, m := range list {
			if at(m, "MetricStat.Metric.Namespace") != "Hookferry" {
				continue
			}
			dims := map[any]any{}
			for _, d := range at(m, "MetricStat.Metric.Dimensions").([]any) {
				dims[at(d, "Name")] = at(d, "Value")
			}
			if dims["Stage"] != "dev" || len(dims) != 2 {
				t.Errorf("%s: dimensions %v", id, dims)
			}
			check(at(m, "MetricStat.Metric.MetricName").(string), dims["Function"].(string))
		}
	}
	for _, m := range liveMetrics {
		function, metric, _ := strings.Cut(m, " ")
		check(metric, function)
	}
}

func synthDefaultsRaw(t *testing.T) []byte {
	t.Helper()
	templates(t)
	return synthDefaults.raw
}
