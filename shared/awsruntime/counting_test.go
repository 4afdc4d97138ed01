package awsruntime

import (
	"net"
	"sync/atomic"
)

// counting counts the connections that a listener accepts.
type counting struct {
	net.Listener
	n *atomic.Int32
}

// Accept returns the next connection.
func (c *counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.n.Add(1)
	}
	return conn, err
}
