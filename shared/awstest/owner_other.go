//go:build !linux

package awstest

import "os/exec"

// startOwned starts a server. Only Linux can tie it to the test's process.
func startOwned(cmd *exec.Cmd) error { return cmd.Start() }

// listens cannot tell who listens on a port: only Linux says so. Every port is
// taken for the server's own.
func listens(int, string) bool { return true }
