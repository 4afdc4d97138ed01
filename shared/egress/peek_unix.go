//go:build unix

package egress

import (
	"errors"
	"net"
	"syscall"
)

// peek looks at what has come on a connection without taking or awaiting it.
func peek(c net.Conn) (state peeked, first []byte) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return peekClosed, nil
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return peekClosed, nil
	}
	var buf [5]byte
	state = peekClosed
	err = rc.Read(func(fd uintptr) bool {
		n, _, err := syscall.Recvfrom(int(fd), buf[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case n > 0:
			state, first = peekData, buf[:n]
		case errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EWOULDBLOCK):
			state = peekNothing
		}
		return true
	})
	if err != nil {
		return peekClosed, nil
	}
	return state, first
}
