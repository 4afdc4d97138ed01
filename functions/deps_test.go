// Package functions holds what is tested of the Lambdas as they are built:
// what they carry, and how they behave behind Lambda's Runtime API.
package functions

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

var lambdas = []string{"receiver", "api", "dispatcher", "repair"}

// behaviours are the packages that the Lambdas are of: the repair walk is the
// dispatcher's.
var behaviours = map[string]string{"receiver": "receiver", "api": "api", "dispatcher": "dispatcher", "repair": "dispatcher"}

// unwanted are packages, and folders of them, that no Lambda needs: each would
// be paid for at every cold start.
var unwanted = []string{
	"github.com/aws/aws-cdk-go", "github.com/aws/jsii-runtime-go", "github.com/aws/constructs-go",
	"modernc.org", "database/sql", "hookferry/shared/sqlite",
	"testing", "net/http/httptest", "github.com/google/go-cmp", "hookferry/shared/relay/relaytest", "hookferry/shared/awstest",
	"hookferry/shared/poller", "github.com/lmittmann/tint", "golang.org/x/term", "github.com/santhosh-tekuri",
	// The SDK's loader, and what it brings; lambda.norpc leaves net/rpc out.
	"github.com/aws/aws-sdk-go-v2/config", "github.com/aws/aws-sdk-go-v2/feature", "github.com/aws/aws-sdk-go-v2/service/sso",
	"github.com/aws/aws-sdk-go-v2/service/sts", "net/rpc",
}

func dependencies(t *testing.T, name string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-tags", "lambda.norpc", "./"+name)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v", name, err)
	}
	return strings.Fields(string(out))
}

func TestALambdaCarriesNoCDKNoSQLiteAndNoTestingPackage(t *testing.T) {
	for _, name := range lambdas {
		deps := dependencies(t, name)
		if len(deps) < 100 {
			t.Fatalf("%s: only %d packages: %v", name, len(deps), deps)
		}
		for _, dep := range deps {
			for _, no := range unwanted {
				if dep == no || strings.HasPrefix(dep, no+"/") {
					t.Errorf("%s carries %s", name, dep)
				}
			}
		}
	}
}

// TestALambdaCarriesItsOwnBehaviourAlone also shows that the lists that the test
// above looks through are the right ones.
func TestALambdaCarriesItsOwnBehaviourAlone(t *testing.T) {
	for _, name := range lambdas {
		for _, dep := range dependencies(t, name) {
			behaviour, ok := strings.CutPrefix(dep, "hookferry/shared/")
			if !ok {
				continue
			}
			for _, other := range behaviours {
				if behaviour == other && other != behaviours[name] {
					t.Errorf("%s carries the behaviour of %s", name, other)
				}
			}
		}
		if !strings.Contains(strings.Join(dependencies(t, name), "\n"), "hookferry/shared/"+behaviours[name]+"\n") {
			t.Errorf("%s does not carry its own behaviour", name)
		}
	}
}
