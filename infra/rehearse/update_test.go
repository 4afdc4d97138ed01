//go:build rehearse

package rehearse

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func unescape(t *testing.T, text string) string {
	t.Helper()
	plain, err := url.QueryUnescape(text)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// newer returns the source of relay's messages as a later version might have it:
// with one more field in each, which the version before has never heard of.
func newer(t *testing.T) map[string]string {
	t.Helper()
	const file = "shared/relay/message.go"
	source, err := os.ReadFile(filepath.Join(root(t), file))
	if err != nil {
		t.Fatal(err)
	}
	text := string(source)
	for from, to := range map[string]string{
		"		Kind     MessageKind  `json:\"k\"`\n": "		Kind     MessageKind  `json:\"k\"`\n		Later    string       `json:\"zz,omitempty\"`\n",
		"V: messageVersion, Kind: m.Kind,":       "V: messageVersion, Later: \"of a later version\", Kind: m.Kind,",
	} {
		if strings.Count(text, from) != 1 {
			t.Fatalf("%s has no %q to change", file, from)
		}
		text = strings.Replace(text, from, to, 1)
	}
	return map[string]string{file: text}
}

// update is drill d: from this version to a later one and back, while a provider
// calls without a pause. Nothing is lost or buried. The emulator ends invocations
// that are under way when it changes a function, where AWS lets them finish: such a
// call is made again, and what such a dispatcher held comes again.
func (w *world) update(t *testing.T, built map[string][]byte) {
	dest := w.destination(t, nil)
	endpoint, _ := w.endpoint(t, "update", dest.URL, nil)
	later := build(t, withLoopback(newer(t)), "api", "receiver", "dispatcher", "repair")
	buried := w.deadLetters(t)

	stop := make(chan struct{})
	var mu sync.Mutex
	var accepted []string
	var refused []string
	repeated := 0
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
			id := fmt.Sprintf("evt_update_%d", n)
			status, err := w.provide(id)
			for again := 0; status >= 500 && again < 3; again++ { // as Rivya does
				mu.Lock()
				repeated++
				mu.Unlock()
				status, err = w.provide(id)
			}
			mu.Lock()
			if err != nil || status != 200 {
				refused = append(refused, fmt.Sprintf("%s: %d %v", id, status, err))
			} else {
				accepted = append(accepted, id)
			}
			mu.Unlock()
		}
	})
	for _, to := range []struct {
		version string
		built   map[string][]byte
	}{{"later", later}, {"now", built}} {
		tpl := w.upload(t, w.template, to.built, to.version)
		if st := w.change(t, "UpdateStack", w.stack, tpl.encode(t)); st.Status != "UPDATE_COMPLETE" {
			t.Errorf("to %s: %s %s\n%s", to.version, st.Status, st.Reason, w.failures(t, w.stack))
		}
		time.Sleep(3 * time.Second) // some traffic of this version alone
	}
	close(stop)
	wg.Wait()
	if len(refused) > 0 {
		t.Errorf("%d calls were refused: %v", len(refused), refused[:min(3, len(refused))])
	}
	until(t, 120*time.Second, func() string {
		missing := 0
		for _, id := range accepted {
			found := false
			for _, p := range dest.posts(id) {
				found = found || p.header.Get("Rivya-Webhook-Endpoint-Id") == endpoint
			}
			if !found {
				missing++
			}
		}
		if missing > 0 {
			return fmt.Sprintf("%d of %d accepted events are not delivered", missing, len(accepted))
		}
		return ""
	})
	if got := w.deadLetters(t); got != buried {
		t.Errorf("%d messages were buried", got-buried)
	}
	t.Logf("%d events were accepted and delivered during two updates, %d calls repeated", len(accepted), repeated)
}

// deadLetters counts what both dead-letter queues hold.
func (w *world) deadLetters(t *testing.T) (n int) {
	t.Helper()
	for _, name := range []string{"EventsDeadLettersUrl", "RetriesDeadLettersUrl"} {
		var out struct{ Attributes map[string]string }
		if err := w.call10(t, "AmazonSQS.GetQueueAttributes", map[string]any{"QueueUrl": w.outputs[name], "AttributeNames": []string{"All"}}, &out); err != nil {
			t.Fatal(err)
		}
		var of int
		if _, err := fmt.Sscan(out.Attributes["ApproximateNumberOfMessages"], &of); err != nil {
			t.Fatal(err)
		}
		n += of
	}
	return n
}

// failsLate is drill e: the first deployment fails at its last resource, leaves
// nothing behind, and can be made again under the same names.
func (e *emulator) failsLate(t *testing.T, tpl template) {
	t.Helper()
	bad := tpl.clone(t)
	var everything []any
	for _, id := range sortedKeys(bad.resources()) {
		everything = append(everything, id)
	}
	// Nobody ever signals what it waits for.
	bad.resources()["Handle"] = map[string]any{"Type": "AWS::CloudFormation::WaitConditionHandle"}
	bad.resources()["Fails"] = map[string]any{
		"Type": "AWS::CloudFormation::WaitCondition", "DependsOn": everything,
		"Properties": map[string]any{"Handle": map[string]any{"Ref": "Handle"}, "Timeout": "1", "Count": 1},
	}
	st := e.change(t, "CreateStack", "hookferry-rehearse", bad.encode(t))
	if st.Status != "ROLLBACK_COMPLETE" {
		t.Fatalf("a deployment that must fail: %s %s", st.Status, st.Reason)
	}
	var queues struct{ QueueUrls []string }
	var tables struct{ TableNames []string }
	var groups struct {
		LogGroups []struct{ LogGroupName string } `json:"logGroups"`
	}
	var secrets struct{ SecretList []struct{ Name string } }
	for target, c := range map[string]struct {
		service string
		in, out any
	}{
		"DynamoDB_20120810.ListTables":    {"dynamodb", map[string]any{}, &tables},
		"Logs_20140328.DescribeLogGroups": {"logs", map[string]any{}, &groups},
		"secretsmanager.ListSecrets":      {"secretsmanager", map[string]any{}, &secrets},
	} {
		if err := e.call(t, c.service, target, c.in, c.out); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.call10(t, "AmazonSQS.ListQueues", map[string]any{}, &queues); err != nil {
		t.Fatal(err)
	}
	if len(queues.QueueUrls)+len(tables.TableNames)+len(groups.LogGroups)+len(secrets.SecretList) > 0 {
		t.Errorf("left behind: %v %v %v %v", queues, tables, groups, secrets)
	}
	if err := e.query(t, "cloudformation", "DeleteStack", cloudFormation, map[string]string{"StackName": "hookferry-rehearse"}, nil); err != nil {
		t.Fatal(err)
	}
	until(t, 60*time.Second, func() string {
		if st, err := e.stack(t, "hookferry-rehearse"); err == nil && st.Status != "DELETE_COMPLETE" {
			return st.Status
		}
		return ""
	})
}
