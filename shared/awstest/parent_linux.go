package awstest

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the server killed when the test's process dies without
// cleaning up.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
