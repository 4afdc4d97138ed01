package awstest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// A stranger that took the port between its choice and the server's start must
// not be taken for the server.
func TestAnAnswerOfAStrangerIsNotTheServers(t *testing.T) {
	binary := installed(t, "@dynoxide/linux-x64/dynoxide")
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		server func(ctx context.Context, port string) *exec.Cmd
	}{
		"while the server starts slowly and ends": {func(http.ResponseWriter, *http.Request) {}, func(ctx context.Context, _ string) *exec.Cmd {
			return exec.CommandContext(ctx, "sh", "-c", "sleep 0.5; exit 1")
		}},
		"that answers with an error": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, func(ctx context.Context, _ string) *exec.Cmd {
			return exec.CommandContext(ctx, "sh", "-c", "sleep 0.3; exit 2")
		}},
		"when the real server finds its port taken": {func(http.ResponseWriter, *http.Request) {}, func(ctx context.Context, port string) *exec.Cmd {
			return exec.CommandContext(ctx, binary, "--host", "127.0.0.1", "--port", port)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var strangers string
			url := start(t, func(port string) *exec.Cmd {
				ctx := context.WithoutCancel(t.Context())
				if strangers != "" {
					return exec.CommandContext(ctx, binary, "--host", "127.0.0.1", "--port", port)
				}
				l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:"+port)
				if err != nil {
					t.Fatal(err)
				}
				stranger := &httptest.Server{Listener: l, Config: &http.Server{Handler: c.answer, ReadHeaderTimeout: time.Minute}}
				stranger.Start()
				t.Cleanup(stranger.Close)
				strangers = stranger.URL
				return c.server(ctx, port)
			})
			if url == strangers {
				t.Errorf("%s is the stranger's", url)
			}
		})
	}
}

// Go ends a thread when a goroutine that locked it ends. The server must outlive
// the thread that asked for it.
func TestAServerOutlivesTheThreadThatAskedForIt(t *testing.T) {
	for name, begin := range map[string]func(testing.TB) string{"DynamoDB": StartDynamoDB, "SQS": StartSQS} {
		t.Run(name, func(t *testing.T) {
			installed(t, "fauxqs/dist/cli.js")
			var url string
			thread := onAThreadThatEnds(func() { url = begin(t) })
			task := fmt.Sprintf("/proc/self/task/%d", thread)
			for {
				if _, err := os.Stat(task); os.IsNotExist(err) {
					break
				}
				if t.Context().Err() != nil {
					t.Fatal("the thread did not end")
				}
				runtime.Gosched()
			}
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			for range 20 {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
				if err != nil {
					t.Fatal(err)
				}
				res, err := client.Do(req)
				if err != nil {
					t.Fatalf("it ended with the thread: %v", err)
				}
				res.Body.Close()
			}
		})
	}
}

// onAThreadThatEnds runs do on a thread that ends afterwards and returns the
// thread's number. It is never the first thread of the process, which stays.
func onAThreadThatEnds(do func()) int {
	ended := make(chan int, 1)
	go func() {
		runtime.LockOSThread()
		if syscall.Gettid() == os.Getpid() {
			// As long as this goroutine holds the first thread, the next gets another.
			ended <- onAThreadThatEnds(do)
			return
		}
		do()
		ended <- syscall.Gettid()
	}()
	return <-ended
}
