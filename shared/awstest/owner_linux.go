package awstest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// startOwned starts a server that is killed when the test's process ends without
// cleaning up. Linux sends that signal when the thread that started the server
// ends, and Go ends threads while the process lives. Therefore one thread, which
// is never given back, starts them all.
func startOwned(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s := starting{cmd, make(chan error, 1)}
	starter() <- s
	return <-s.err
}

type starting struct {
	cmd *exec.Cmd
	err chan error
}

var starter = sync.OnceValue(func() chan<- starting {
	work := make(chan starting)
	go func() {
		runtime.LockOSThread()
		for s := range work {
			s.err <- s.cmd.Start()
		}
	}()
	return work
})

// listens reports whether a process listens on a port: one of its open files is
// the socket that the kernel lists as listening there.
func listens(pid int, port string) bool {
	sockets := listening(pid, port)
	files, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/fd/*")
	if err != nil {
		return false
	}
	for _, file := range files {
		if target, err := os.Readlink(file); err == nil && sockets[target] {
			return true
		}
	}
	return false
}

// listening returns the sockets that listen on a port, by the names that links
// to open files have.
func listening(pid int, port string) map[string]bool {
	const (
		listenState = "0A"
		localField  = 1
		stateField  = 3
		inodeField  = 9
	)
	sockets := map[string]bool{}
	want, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return sockets
	}
	for _, table := range []string{"tcp", "tcp6"} {
		raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/net/" + table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(raw)) {
			fields := strings.Fields(line)
			if len(fields) <= inodeField || fields[stateField] != listenState {
				continue
			}
			_, hex, _ := strings.Cut(fields[localField], ":")
			if got, err := strconv.ParseUint(hex, 16, 16); err == nil && got == want {
				sockets["socket:["+fields[inodeField]+"]"] = true
			}
		}
	}
	return sockets
}
