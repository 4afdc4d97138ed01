package awstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// SkipVariable, set to 1, skips every test that needs one of the servers.
const SkipVariable = "HOOKFERRY_SKIP_AWS"

const region = "us-east-1"

// StartDynamoDB starts an empty DynamoDB for the test and returns its URL.
func StartDynamoDB(tb testing.TB) string {
	tb.Helper()
	binary := installed(tb, "@dynoxide/linux-x64/dynoxide")
	return start(tb, func(port string) *exec.Cmd {
		// Not of the test's context: that ends before the test's other clean-ups.
		return exec.CommandContext(context.WithoutCancel(tb.Context()), binary, "--host", "127.0.0.1", "--port", port)
	})
}

// SQSVariable, set to the URL of a server, has the tests talk to that one
// instead of starting theirs: a second opinion, like moto_server's.
const SQSVariable = "HOOKFERRY_TEST_SQS_URL"

// StartSQS starts an SQS without queues for the test and returns its URL.
func StartSQS(tb testing.TB) string {
	tb.Helper()
	if url := os.Getenv(SQSVariable); url != "" {
		return url
	}
	script := installed(tb, "fauxqs/dist/cli.js")
	node, err := exec.LookPath("node")
	if err != nil {
		tb.Fatalf("no node on this machine: the tests on SQS need Node 20 or later; install it, or set %s=1 to skip them", SkipVariable)
	}
	return start(tb, func(port string) *exec.Cmd {
		cmd := exec.CommandContext(context.WithoutCancel(tb.Context()), node, script)
		cmd.Env = append(os.Environ(), "FAUXQS_HOST=127.0.0.1", "FAUXQS_PORT="+port, "FAUXQS_LOGGER=false",
			"FAUXQS_DEFAULT_REGION="+region)
		return cmd
	})
}

// Environment returns the variables that make a program of ours use the servers
// at the URLs.
func Environment(dynamoURL, sqsURL string) []string {
	return []string{
		"AWS_ENDPOINT_URL_DYNAMODB=" + dynamoURL, "AWS_ENDPOINT_URL_SQS=" + sqsURL,
		"AWS_REGION=" + region, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
		"AWS_EC2_METADATA_DISABLED=true",
	}
}

// DynamoDB returns a client of the server at the URL.
func DynamoDB(url string, options ...func(*dynamodb.Options)) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{Region: region, BaseEndpoint: &url, Credentials: testCredentials()}, options...)
}

// SQS returns a client of the server at the URL.
func SQS(url string, options ...func(*sqs.Options)) *sqs.Client {
	return sqs.New(sqs.Options{Region: region, BaseEndpoint: &url, Credentials: testCredentials()}, options...)
}

func testCredentials() aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider("test", "test", "")
}

// installed returns the path of a file that make deps installs.
func installed(tb testing.TB, path string) string {
	tb.Helper()
	if os.Getenv(SkipVariable) == "1" {
		tb.Skipf("%s=1: not tested on the servers that stand in for AWS", SkipVariable)
	}
	full := filepath.Join(root(tb), "shared", "awstest", "node_modules", filepath.FromSlash(path))
	if _, err := os.Stat(full); err != nil {
		tb.Fatalf("%s is not installed: run make deps, or set %s=1 to skip the tests that need it (%v)", path, SkipVariable, err)
	}
	return full
}

// root returns the folder of go.mod. A test runs in its package's.
func root(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			tb.Fatal("no go.mod above the test's folder")
		}
		dir = filepath.Dir(dir)
	}
}

// startLimit is how long a server may take until it answers. On a busy machine
// that is many seconds.
const startLimit = time.Minute

// start runs a server on a free port until the end of the test and waits until
// it answers. When another program took the port in between, it tries again
// with another port.
func start(tb testing.TB, command func(port string) *exec.Cmd) string {
	tb.Helper()
	var err error
	for range 3 {
		var url string
		if url, err = try(tb, command); err == nil {
			return url
		}
	}
	tb.Fatal(err)
	return ""
}

func try(tb testing.TB, command func(port string) *exec.Cmd) (string, error) {
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	port := strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	listener.Close()

	var output tail
	cmd := command(port)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := startOwned(cmd); err != nil {
		return "", err
	}
	var outcome error
	ended := make(chan struct{})
	go func() {
		outcome = cmd.Wait()
		close(ended)
	}()
	stop := func() {
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			tb.Errorf("stop %s: %v", cmd.Path, err)
			return
		}
		<-ended
	}

	url := "http://127.0.0.1:" + port
	ctx, cancel := context.WithTimeout(tb.Context(), startLimit)
	defer cancel()
	for {
		// Whoever took the port may answer as well, so the first question is whose it is.
		if listens(cmd.Process.Pid, port) && answers(ctx, url) {
			tb.Cleanup(stop)
			return url, nil
		}
		select {
		case <-ended:
			return "", fmt.Errorf("%s ended before it answered: %w\n%s", cmd.Path, outcome, output.String())
		case <-ctx.Done():
			stop()
			return "", fmt.Errorf("%s did not answer within %v\n%s", cmd.Path, startLimit, output.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func answers(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return true
}

// tail keeps the last of what a server printed.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.buf.Len() > 64<<10 {
		t.buf.Reset()
	}
	return t.buf.Write(p)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
