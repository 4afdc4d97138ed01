//go:build cdk

package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// granted returns the actions that the role of a function allows, by resource.
func granted(t *testing.T, tpl template, function string) map[string]map[string]bool {
	t.Helper()
	fn := tpl.function(t, function)
	role := tpl.Resources[getAtt(fn.at("Role"))]
	if role.at("ManagedPolicyArns") != nil {
		t.Errorf("%s has managed policies", function)
	}
	all := map[string]map[string]bool{}
	add := func(document any) {
		for _, st := range at(document, "Statement").([]any) {
			if at(st, "Effect") != "Allow" || at(st, "NotAction") != nil || at(st, "NotResource") != nil {
				t.Errorf("%s: %v", function, st)
			}
			for _, res := range list(at(st, "Resource")) {
				name := resourceName(tpl, res)
				for _, action := range list(at(st, "Action")) {
					if all[name] == nil {
						all[name] = map[string]bool{}
					}
					all[name][action.(string)] = true
				}
			}
		}
	}
	for _, p := range list(role.at("Policies")) {
		add(at(p, "PolicyDocument"))
	}
	for _, typ := range []string{"AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"} {
		for id := range tpl.of(typ) {
			t.Errorf("%s: policies are in the roles, where the tests look", id)
		}
	}
	return all
}

func list(v any) []any {
	if l, ok := v.([]any); ok {
		return l
	}
	if v == nil {
		return nil
	}
	return []any{v}
}

// resourceName returns what a policy's resource is: the name of a queue without
// its stage, "table" and so on.
func resourceName(tpl template, res any) string {
	id := getAtt(res)
	if ref, ok := at(res, "Ref").(string); ok {
		id = ref
	}
	r := tpl.Resources[id]
	switch r.Type {
	case "AWS::SQS::Queue":
		return strings.SplitN(r.at("QueueName").(string), "-", 3)[2]
	case "AWS::DynamoDB::Table":
		return onTable
	case "AWS::SecretsManager::Secret":
		return onKeyring
	case "AWS::Logs::LogGroup":
		return "log " + r.at("LogGroupName").(string)
	}
	if strings.Contains(text(res), ":table/hookferry-") {
		return onTable // a restored one, by its name
	}
	return text(res)
}

func TestRolesNameEveryActionAndEveryResource(t *testing.T) {
	both(t, func(t *testing.T, tpl template) {
		for _, f := range functions {
			for res, actions := range granted(t, tpl, f.name) {
				traces := slices.Sorted(maps.Keys(actions))
				if res == "*" && cmp.Equal(traces, []string{"xray:PutTelemetryRecords", "xray:PutTraceSegments"}) && stageOf(tpl) == "dev" {
					continue // X-Ray has no resources
				}
				if strings.Contains(res, "*") {
					t.Errorf("%s: %v on %s", f.name, traces, res)
				}
				for _, a := range traces {
					if strings.Contains(a, "*") || !strings.Contains(a, ":") {
						t.Errorf("%s: action %s on %s", f.name, a, res)
					}
				}
			}
		}
	})
}

// TestTheReceiverWritesCountsOfRefusalsAlone: it is called by anybody.
func TestTheReceiverWritesCountsOfRefusalsAlone(t *testing.T) {
	both(t, func(t *testing.T, tpl template) {
		role := tpl.Resources[getAtt(tpl.function(t, "receiver").at("Role"))]
		for _, p := range list(role.at("Policies")) {
			for _, st := range at(p, "PolicyDocument.Statement").([]any) {
				for _, action := range list(at(st, "Action")) {
					if a := action.(string); strings.HasPrefix(a, "dynamodb:") && a != "dynamodb:GetItem" {
						want := map[string]any{"ForAllValues:StringLike": map[string]any{"dynamodb:LeadingKeys": []any{"R#*"}}}
						if diff := cmp.Diff(want, at(st, "Condition")); a != "dynamodb:UpdateItem" || diff != "" {
							t.Errorf("%s: %s", a, diff)
						}
					}
				}
			}
		}
	})
}

// platform is what Lambda itself does with a function's role: it writes the
// function's log, polls its queues and sends its traces.
var platform = map[string][]string{
	"logs:": {"logs:CreateLogStream", "logs:PutLogEvents"},
	"xray:": {"xray:PutTraceSegments", "xray:PutTelemetryRecords"},
}

// TestWhatIsGrantedIsUsedAndTheReverse derives from the source what each
// function calls: the methods of the ports that its packages use, what those
// methods do in the adapters, and which actions that needs.
func TestWhatIsGrantedIsUsedAndTheReverse(t *testing.T) {
	both(t, func(t *testing.T, tpl template) {
		for _, f := range functions {
			got := granted(t, tpl, f.name)
			want := needs(t, f.name)
			for _, actions := range platform {
				for _, a := range actions {
					for res := range got {
						if strings.HasPrefix(res, "log /hookferry/") && strings.HasSuffix(res, "/"+f.name) || res == "*" {
							delete(got[res], a)
						}
						if len(got[res]) == 0 {
							delete(got, res)
						}
					}
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-used +granted):\n%s", f.name, diff)
			}
		}
	})
}
