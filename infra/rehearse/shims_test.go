//go:build rehearse

package rehearse

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

// A template is what CloudFormation is given, as it is written.
type template map[string]any

func decode(t *testing.T, text []byte) template {
	t.Helper()
	var tpl template
	if err := json.Unmarshal(text, &tpl); err != nil {
		t.Fatal(err)
	}
	return tpl
}

func (tpl template) encode(t *testing.T) []byte {
	t.Helper()
	text, err := json.Marshal(tpl)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (tpl template) clone(t *testing.T) template { return decode(t, tpl.encode(t)) }

func (tpl template) resources() map[string]any { return tpl["Resources"].(map[string]any) }

// of returns the resources of a type by their logical ids.
func (tpl template) of(typ string) map[string]map[string]any {
	found := map[string]map[string]any{}
	for id, r := range tpl.resources() {
		if r := r.(map[string]any); r["Type"] == typ {
			found[id] = r
		}
	}
	return found
}

func properties(r map[string]any) map[string]any {
	p, _ := r["Properties"].(map[string]any)
	return p
}

// A shim is one thing in which the emulator is not AWS, and how the template is
// changed so that the rest can be rehearsed.
type shim struct {
	says   string
	change func(tpl template) (changed int)
}

const punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

// shims are the emulator's defects, ministack's of version 1.5.33.
var shims = []shim{
	{"emulator: knows no Contributor Insights rules, saved queries and X-Ray sampling rules; they are left out", func(tpl template) int {
		n := 0
		for _, typ := range []string{"AWS::CloudWatch::InsightRule", "AWS::Logs::QueryDefinition", "AWS::XRay::SamplingRule"} {
			for id := range tpl.of(typ) {
				delete(tpl.resources(), id)
				n++
			}
		}
		return n
	}},
	{"emulator: takes an alarm of one metric in the plain form alone, and none of a formula; TestEachAlarmIsSilentOnAHealthyDayAndRingsAtItsTrouble evaluates all of them", func(tpl template) int {
		n := 0
		for id, r := range tpl.of("AWS::CloudWatch::Alarm") {
			if properties(r)["Metrics"] != nil {
				n++
				if !plainAlarm(properties(r)) {
					delete(tpl.resources(), id)
				}
			}
		}
		return n
	}},
	{"emulator: the Ref of a secret is its name, on AWS its ARN; the attribute Id is the ARN here", func(tpl template) int {
		n := 0
		for id := range tpl.of("AWS::SecretsManager::Secret") {
			n += replaceRef(map[string]any(tpl), id)
		}
		return n
	}},
	{"emulator: ignores ExcludePunctuation of a generated secret; the characters are listed", func(tpl template) int {
		n := 0
		for _, r := range tpl.of("AWS::SecretsManager::Secret") {
			if g, ok := properties(r)["GenerateSecretString"].(map[string]any); ok && g["ExcludePunctuation"] == true {
				g["ExcludeCharacters"] = punctuation
				n++
			}
		}
		return n
	}},
	{"emulator: asks for actions of SQS batches, which AWS does not have; granted with the single ones", func(tpl template) int {
		n := 0
		eachStatement(tpl, func(st map[string]any) {
			actions := actionsOf(st)
			for _, a := range slices.Clone(actions) {
				switch a {
				case "sqs:SendMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility":
					actions = append(actions, a.(string)+"Batch")
					n++
				}
			}
			st["Action"] = actions
		})
		return n
	}},
	{"emulator: does not know the condition dynamodb:LeadingKeys; the receiver may read the whole table here", func(tpl template) int {
		n := 0
		eachStatement(tpl, func(st map[string]any) {
			if c, ok := st["Condition"].(map[string]any); ok && c["Null"] != nil {
				delete(st, "Condition")
				n++
			}
		})
		return n
	}},
	{"emulator: an update ends invocations that are under way, which AWS lets finish; what they held comes again after 60 s, not 360", func(tpl template) int {
		n := 0
		for _, r := range tpl.of("AWS::SQS::Queue") {
			if properties(r)["VisibilityTimeout"] == 360.0 {
				properties(r)["VisibilityTimeout"] = 60
				n++
			}
		}
		return n
	}},
	{"rehearsal: the schedule runs each minute, not each five, so that nobody waits", func(tpl template) int {
		n := 0
		for _, r := range tpl.of("AWS::Events::Rule") {
			properties(r)["ScheduleExpression"] = "rate(1 minute)"
			n++
		}
		return n
	}},
}

// plainAlarm writes an alarm of one metric in the form of before formulas, and
// reports whether it is one.
func plainAlarm(p map[string]any) bool {
	list := p["Metrics"].([]any)
	stat, ok := list[0].(map[string]any)["MetricStat"].(map[string]any)
	if len(list) != 1 || !ok {
		return false
	}
	metric := stat["Metric"].(map[string]any)
	delete(p, "Metrics")
	p["Namespace"], p["MetricName"], p["Dimensions"], p["Period"] = metric["Namespace"], metric["MetricName"], metric["Dimensions"], stat["Period"]
	if s := stat["Stat"].(string); strings.HasPrefix(s, "p") {
		p["ExtendedStatistic"] = s
	} else {
		p["Statistic"] = s
	}
	return true
}

// replaceRef replaces every Ref of a resource by its attribute Id.
func replaceRef(v any, id string) (n int) {
	switch x := v.(type) {
	case map[string]any:
		for k, child := range x {
			if m, ok := child.(map[string]any); ok && len(m) == 1 && m["Ref"] == id {
				x[k] = map[string]any{"Fn::GetAtt": []any{id, "Id"}}
				n++
				continue
			}
			n += replaceRef(child, id)
		}
	case []any:
		for i, child := range x {
			if m, ok := child.(map[string]any); ok && len(m) == 1 && m["Ref"] == id {
				x[i] = map[string]any{"Fn::GetAtt": []any{id, "Id"}}
				n++
				continue
			}
			n += replaceRef(child, id)
		}
	}
	return n
}

// actionsOf returns the actions of a statement.
func actionsOf(st map[string]any) []any {
	if list, ok := st["Action"].([]any); ok {
		return list
	}
	return []any{st["Action"]}
}

// eachStatement visits every statement of every role.
func eachStatement(tpl template, visit func(st map[string]any)) {
	for _, r := range tpl.of("AWS::IAM::Role") {
		policies, _ := properties(r)["Policies"].([]any)
		for _, p := range policies {
			doc := p.(map[string]any)["PolicyDocument"].(map[string]any)
			for _, st := range doc["Statement"].([]any) {
				visit(st.(map[string]any))
			}
		}
	}
}

// shimmed returns the template as the emulator can deploy it, and logs what was
// changed. A shim that changes nothing is needed no more, and fails.
func shimmed(t *testing.T, tpl template) template {
	t.Helper()
	tpl = tpl.clone(t)
	before := len(tpl.resources())
	for _, s := range shims {
		n := s.change(tpl)
		if n == 0 {
			t.Errorf("the shim is needed no more: %s", s.says)
		}
		t.Logf("shim, %d times: %s", n, s.says)
	}
	t.Logf("%d of %d resources are deployed", len(tpl.resources()), before)
	return tpl
}

// functionNames returns the names of the template's functions, without the
// stage before them, and their logical ids.
func (tpl template) functionNames() map[string]string {
	all := map[string]string{}
	for id, r := range tpl.of("AWS::Lambda::Function") {
		name := properties(r)["FunctionName"].(string)
		all[name[strings.LastIndex(name, "-")+1:]] = id
	}
	return all
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
