//go:build rehearse

package rehearse

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A grant is one action that the role of a function allows, in one statement of
// its policy.
type grant struct {
	function, role, action string
	statement              int
}

// unseen are grants whose absence the emulator does not notice, or that no call of
// the outside leads to at once; each with what shows it instead.
var unseen = map[string]string{
	"logs:CreateLogStream":             "emulator: writes a function's log itself",
	"logs:PutLogEvents":                "emulator: writes a function's log itself",
	"xray:PutTraceSegments":            "emulator: has no X-Ray",
	"xray:PutTelemetryRecords":         "emulator: has no X-Ray",
	"sqs:ReceiveMessage":               "emulator: its mappings read the queues without the role",
	"sqs:DeleteMessage":                "emulator: its mappings read the queues without the role",
	"sqs:GetQueueAttributes":           "emulator: its mappings read the queues without the role",
	"secretsmanager:GetSecretValue":    "emulator: keeps a function's processes, which have read the keyring; TestTheReceiverServesWithoutTheKeyringWhatNeedsNone",
	"dispatcher dynamodb:BatchGetItem": "no drill leads to where a delivery is saved of an event without an open one: the tests of shared/dispatcher on DynamoDB's stand-in",
	"dispatcher dynamodb:DeleteItem":   "expectations that end, after expectFirst: the tests of shared/dispatcher on DynamoDB's stand-in",
	"receiver dynamodb:UpdateItem":     "the counts of refused calls are best effort, once a minute: the tests of shared/receiver",
	"repair sqs:SendMessage":           "a delivery is overdue after ten minutes: TestTheScheduledEventStartsTheRepairWalk",
}

// grants lists what the deployed template's roles allow.
func (w *world) grants(t *testing.T) []grant {
	t.Helper()
	names, ids := w.template.functionNames(), w.resources(t, w.stack)
	var all []grant
	for _, function := range sortedKeys(names) {
		role := w.template.role(names[function])
		for i, st := range statementsOf(w.template.resources()[role].(map[string]any)) {
			for _, a := range actionsOf(st) {
				if action := a.(string); !strings.HasSuffix(action, "Batch") || !strings.HasPrefix(action, "sqs:") {
					all = append(all, grant{function, ids[role], action, i})
				}
			}
		}
	}
	return all
}

// role returns the logical id of a function's role.
func (tpl template) role(function string) string {
	r := properties(tpl.resources()[function].(map[string]any))["Role"].(map[string]any)
	return r["Fn::GetAtt"].([]any)[0].(string)
}

// statementsOf returns the statements of a role's only policy.
func statementsOf(role map[string]any) (all []map[string]any) {
	policy := properties(role)["Policies"].([]any)[0].(map[string]any)
	for _, st := range policy["PolicyDocument"].(map[string]any)["Statement"].([]any) {
		all = append(all, st.(map[string]any))
	}
	return all
}

// policy reads a function's policy as it is deployed, with every reference
// resolved.
func (w *world) policy(t *testing.T, g grant) map[string]any {
	t.Helper()
	var out struct {
		Document string `xml:"GetRolePolicyResult>PolicyDocument"`
	}
	if err := w.query(t, "iam", "GetRolePolicy", "2010-05-08", map[string]string{"RoleName": g.role, "PolicyName": g.function}, &out); err != nil {
		t.Fatal(err)
	}
	text := out.Document
	if strings.HasPrefix(text, "%7B") {
		text = unescape(t, text)
	}
	return decode(t, []byte(text))
}

func (w *world) setPolicy(t *testing.T, g grant, doc map[string]any) {
	t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.query(t, "iam", "PutRolePolicy", "2010-05-08", map[string]string{"RoleName": g.role, "PolicyName": g.function, "PolicyDocument": string(text)}, nil); err != nil {
		t.Fatal(err)
	}
}

// without returns a policy in which one statement lacks an action, and what SQS
// would call its batch.
func without(t *testing.T, doc map[string]any, g grant) map[string]any {
	t.Helper()
	doc = template(doc).clone(t)
	st := doc["Statement"].([]any)[g.statement].(map[string]any)
	var left []any
	for _, a := range actionsOf(st) {
		if a != g.action && a != g.action+"Batch" {
			left = append(left, a)
		}
	}
	if left == nil {
		left = []any{"none:Nothing"}
	}
	st["Action"] = left
	return doc
}

// denials counts the lines in which a function says that an action was denied.
func (w *world) denials(t *testing.T, function, action string) (n int) {
	t.Helper()
	for _, line := range w.lines(t, "/hookferry/"+w.stage+"/"+function) {
		if strings.Contains(line, "not authorized to perform: "+action) {
			n++
		}
	}
	return n
}

// permissions is drill b. Each action is taken from its role, the relay is used,
// and somebody must notice: a call is refused, or the function says in its log
// that it was denied just this action.
func (w *world) permissions(t *testing.T) {
	for _, function := range sortedKeys(w.template.functionNames()) {
		for _, line := range w.lines(t, "/hookferry/"+w.stage+"/"+function) {
			if strings.Contains(line, "not authorized to perform") {
				t.Errorf("%s calls what it is not granted: %s", function, line)
			}
		}
	}
	dest := w.destination(t, func(p post) int {
		if strings.HasPrefix(p.header.Get("Rivya-Webhook-Id"), "evt_fails") {
			return 500
		}
		return 200
	})
	endpoint, _ := w.endpoint(t, "permissions", dest.URL, nil)
	tried := 0
	for i, g := range w.grants(t) {
		if reason := unseen[g.action] + unseen[g.function+" "+g.action]; reason != "" {
			t.Logf("not tried: %s of %s (%s)", g.action, g.function, reason)
			continue
		}
		tried++
		before, whole := w.denials(t, g.function, g.action), w.policy(t, g)
		w.setPolicy(t, g, without(t, whole, g))
		noticed := ""
		for end := time.Now().Add(20 * time.Second); noticed == "" && time.Now().Before(end); {
			if refused := w.use(t, g.function, endpoint, i); refused != "" {
				noticed = refused
			}
			if w.denials(t, g.function, g.action) > before {
				noticed += " denied in the log"
			}
		}
		w.setPolicy(t, g, whole)
		if noticed == "" {
			t.Errorf("%s of %s is granted in statement %d, and nothing breaks without it", g.action, g.function, g.statement)
		}
	}
	t.Logf("%d grants were taken away, one by one", tried)
	w.accept(t, "evt_whole_again")
	until(t, 60*time.Second, func() string {
		for _, p := range dest.posts("evt_whole_again") {
			if p.header.Get("Rivya-Webhook-Endpoint-Id") == endpoint {
				return ""
			}
		}
		return "no delivery with every grant in its place"
	})
}

// use calls a function in every way in which it uses what it is granted, and
// returns which call was refused by its fault, if one was.
func (w *world) use(t *testing.T, function, endpoint string, round int) string {
	t.Helper()
	var refused []string
	note := func(what string, status int, err error) {
		if err != nil || status >= 500 {
			refused = append(refused, fmt.Sprintf("%s: %d %v", what, status, err))
		}
	}
	manage := func(method, path string, in any) map[string]any {
		status, answer, err := w.manage(method, path, in)
		note(method+" "+path, status, err)
		return answer
	}
	id := fmt.Sprintf("%d_%d", round, time.Now().UnixNano())
	switch function {
	case "receiver":
		status, err := w.provide("evt_" + id)
		note("a signed call", status, err)
		status, _, err = w.gateway("POST", w.sivi.path+"x", nil, []byte("{}")) // is counted as refused
		note("a wrong token", status, err)
		// A source that no process has in its cache.
		status, _, err = w.gateway("POST", "/in/src_"+strings.ReplaceAll(id, "_", "x"), nil, []byte("{}"))
		note("an unknown source", status, err)
	case "api":
		manage("POST", "/api/v1/webhook-events", map[string]any{"type": "order.paid", "data": map[string]any{"n": 1}})
		manage("GET", "/api/v1/webhook-events?limit=5", nil)
		manage("GET", "/api/v1/webhooks", nil)
		manage("POST", "/api/v1/webhooks/"+endpoint+"/rotate-secret", nil)
		manage("POST", "/api/v1/webhooks/"+endpoint+"/replay", map[string]any{"since": "2026-05-11T00:00:00.000Z", "status": "failed"})
		src := manage("POST", "/api/v1/sources", map[string]any{"name": "x", "provider": "sivi", "sivi_api_key": "k"})
		if made, ok := src["id"].(string); ok {
			manage("POST", "/api/v1/sources/"+made+"/expect", map[string]any{"request_ids": []string{"r" + id}})
			manage("GET", "/api/v1/sources/"+made+"/expect", nil)
			manage("DELETE", "/api/v1/sources/"+made+"/expect?request_id=r"+id, nil)
			manage("DELETE", "/api/v1/sources/"+made, nil)
		}
	case "dispatcher":
		w.provide("evt_" + id)
		w.provide("evt_fails" + id)
		for _, url := range []string{w.outputs["EventsQueueUrl"], w.outputs["RetriesQueueUrl"]} {
			w.put2queue(t, url, "no message of ours")  // is buried
			w.put2queue(t, url, `{"v":9,"k":"event"}`) // comes again
			w.put2queue(t, url, fmt.Sprintf(`{"v":1,"k":"attempt","mid":"m%s","acc":"acct_1","eid":"evt_1","ecr":1778457600000,"ep":"whend_1","n":1,"due":%d,"giv":%d}`,
				id, time.Now().Add(time.Hour).UnixMilli(), time.Now().Add(24*time.Hour).UnixMilli())) // hops
		}
		if list := manage("GET", "/api/v1/webhooks/"+endpoint+"/deliveries?limit=1&status=succeeded", nil); list["data"] != nil {
			for _, d := range list["data"].([]any) {
				manage("POST", "/api/v1/webhooks/"+endpoint+"/deliveries/"+d.(map[string]any)["id"].(string)+"/retry", nil)
			}
		}
		w.gateway("POST", w.sivi.path, map[string]string{"Content-Type": "application/json"}, []byte(`{"status":200,"body":{"status":"complete","requestId":"r`+id+`"}}`))
		time.Sleep(2 * time.Second)
	case "repair":
		path := "/2015-03-31/functions/hookferry-" + w.stage + "-repair/invocations"
		_, answer := w.signed(t, "lambda", "POST", path, nil, []byte(`{}`))
		if strings.Contains(string(answer), "errorMessage") {
			refused = append(refused, string(answer))
		}
	}
	return strings.Join(refused, "; ")
}

// put2queue puts a message on a queue past the relay.
func (w *world) put2queue(t *testing.T, url, body string) {
	t.Helper()
	in, err := json.Marshal(map[string]string{"QueueUrl": url, "MessageBody": body})
	if err != nil {
		t.Fatal(err)
	}
	if status, answer := w.signed(t, "sqs", "POST", "/", map[string]string{"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "AmazonSQS.SendMessage"}, in); status != 200 {
		t.Fatalf("send to %s: %d %s", url, status, answer)
	}
}
