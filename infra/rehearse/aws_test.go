//go:build rehearse

package rehearse

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// signed makes a request as the deployer, and returns the status and the answer.
func (e *emulator) signed(t *testing.T, service, method, path string, header map[string]string, body []byte) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, e.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	req.Header.Set("X-Amz-Content-Sha256", hash)
	credentials := aws.Credentials{AccessKeyID: rootKey, SecretAccessKey: rootKey}
	if err := v4.NewSigner().SignHTTP(context.Background(), credentials, req, hash, service, region, time.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := e.client.Do(req)
	if err != nil {
		t.Fatalf("%s %s %s: %v", service, method, path, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// query makes a call of a service that takes forms and answers XML.
func (e *emulator) query(t *testing.T, service, action, version string, in map[string]string, out any) error {
	t.Helper()
	form := url.Values{"Action": {action}, "Version": {version}}
	for name, value := range in {
		form.Set(name, value)
	}
	status, answer := e.signed(t, service, "POST", "/", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, []byte(form.Encode()))
	if status != http.StatusOK {
		return fmt.Errorf("%s: %d %s", action, status, answer)
	}
	if out == nil {
		return nil
	}
	return xml.Unmarshal(answer, out)
}

// call makes a call of a service that speaks JSON.
func (e *emulator) call(t *testing.T, service, target string, in, out any) error {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	status, answer := e.signed(t, service, "POST", "/", map[string]string{"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}, body)
	if status != http.StatusOK {
		return fmt.Errorf("%s: %d %s", target, status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// call10 makes a call of SQS, which speaks another version of the same.
func (e *emulator) call10(t *testing.T, target string, in, out any) error {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	status, answer := e.signed(t, "sqs", "POST", "/", map[string]string{"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": target}, body)
	if status != http.StatusOK {
		return fmt.Errorf("%s: %d %s", target, status, answer)
	}
	return json.Unmarshal(answer, out)
}

// put stores an object, after it has made the bucket.
func (e *emulator) put(t *testing.T, bucket, key string, body []byte) {
	t.Helper()
	if status, answer := e.signed(t, "s3", "PUT", "/"+bucket, nil, nil); status != 200 && status != 409 {
		t.Fatalf("make bucket %s: %d %s", bucket, status, answer)
	}
	if status, answer := e.signed(t, "s3", "PUT", "/"+bucket+"/"+key, nil, body); status != 200 {
		t.Fatalf("put %s: %d %s", key, status, answer)
	}
}

// A stackState is what CloudFormation says of a stack.
type stackState struct {
	Status, Reason string
	Outputs        map[string]string
}

const cloudFormation = "2010-05-15"

func (e *emulator) stack(t *testing.T, name string) (stackState, error) {
	t.Helper()
	var out struct {
		Stacks []struct {
			StackStatus, StackStatusReason string
			Outputs                        []struct{ OutputKey, OutputValue string } `xml:"Outputs>member"`
		} `xml:"DescribeStacksResult>Stacks>member"`
	}
	if err := e.query(t, "cloudformation", "DescribeStacks", cloudFormation, map[string]string{"StackName": name}, &out); err != nil {
		return stackState{}, err
	}
	if len(out.Stacks) == 0 {
		return stackState{}, fmt.Errorf("no stack %s", name)
	}
	st := stackState{Status: out.Stacks[0].StackStatus, Reason: out.Stacks[0].StackStatusReason, Outputs: map[string]string{}}
	for _, o := range out.Stacks[0].Outputs {
		st.Outputs[o.OutputKey] = o.OutputValue
	}
	return st, nil
}

// change creates or updates a stack from a template, and returns what became of
// it once CloudFormation is done.
func (e *emulator) change(t *testing.T, action, name string, template []byte) stackState {
	t.Helper()
	e.put(t, "templates", name+".json", template)
	err := e.query(t, "cloudformation", action, cloudFormation, map[string]string{
		"StackName": name, "TemplateURL": e.url + "/templates/" + name + ".json", "Capabilities.member.1": "CAPABILITY_IAM",
	}, nil)
	if err != nil {
		return stackState{Status: "REFUSED", Reason: err.Error()}
	}
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		st, err := e.stack(t, name)
		if err == nil && !strings.HasSuffix(st.Status, "_IN_PROGRESS") {
			return st
		}
		if time.Now().After(end) {
			t.Fatalf("%s of %s does not end: %+v %v", action, name, st, err)
		}
	}
}

// failures returns why resources of a stack could not be made.
func (e *emulator) failures(t *testing.T, name string) string {
	t.Helper()
	var out struct {
		Events []struct{ LogicalResourceId, ResourceStatus, ResourceStatusReason string } `xml:"DescribeStackEventsResult>StackEvents>member"`
	}
	if err := e.query(t, "cloudformation", "DescribeStackEvents", cloudFormation, map[string]string{"StackName": name}, &out); err != nil {
		return err.Error()
	}
	var all []string
	for _, ev := range out.Events {
		if strings.HasSuffix(ev.ResourceStatus, "_FAILED") {
			all = append(all, ev.LogicalResourceId+": "+ev.ResourceStatusReason)
		}
	}
	return strings.Join(all, "\n")
}

// resources returns the physical ids of a stack's resources, by logical id.
func (e *emulator) resources(t *testing.T, name string) map[string]string {
	t.Helper()
	var out struct {
		Resources []struct{ LogicalResourceId, PhysicalResourceId string } `xml:"DescribeStackResourcesResult>StackResources>member"`
	}
	if err := e.query(t, "cloudformation", "DescribeStackResources", cloudFormation, map[string]string{"StackName": name}, &out); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, r := range out.Resources {
		all[r.LogicalResourceId] = r.PhysicalResourceId
	}
	return all
}

// lines returns the lines that a log group has: what a function wrote, without
// what Lambda itself adds.
func (e *emulator) lines(t *testing.T, group string) []string {
	t.Helper()
	var lines []string
	for next := ""; ; {
		in := map[string]any{"logGroupName": group, "limit": 10000}
		if next != "" {
			in["nextToken"] = next
		}
		var out struct {
			Events    []struct{ Message string } `json:"events"`
			NextToken string                     `json:"nextToken"`
		}
		if err := e.call(t, "logs", "Logs_20140328.FilterLogEvents", in, &out); err != nil {
			t.Fatal(err)
		}
		for _, ev := range out.Events {
			if strings.HasPrefix(ev.Message, "{") {
				lines = append(lines, ev.Message)
			}
		}
		if next = out.NextToken; next == "" {
			return lines
		}
	}
}
