package main

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"hookferry/shared/telemetry"
)

// connLimit bounds the connections that a server holds. When one more comes, the
// one that has waited longest for its caller is closed: one between two calls, or
// one on which no call has begun. So whoever opens connections and says nothing
// takes none from those who call; only when every connection is in the middle of
// a call is the new one closed. It is safe for concurrent use.
type connLimit struct {
	max int
	log *telemetry.Log

	mu      sync.Mutex
	places  map[net.Conn]*list.Element // of waiting
	waiting *list.List                 // of net.Conn, the longest first
	held    int
	said    time.Time
}

func newConnLimit(most int, log *telemetry.Log) *connLimit {
	return &connLimit{max: most, log: log, places: map[net.Conn]*list.Element{}, waiting: list.New()}
}

// note is an http.Server's ConnState.
func (l *connLimit) note(c net.Conn, state http.ConnState) {
	var victim net.Conn
	l.mu.Lock()
	switch state {
	case http.StateNew:
		l.held++
		if l.held > l.max {
			victim = c
			if first := l.waiting.Front(); first != nil {
				victim = first.Value.(net.Conn)
			}
			l.say()
		}
		l.wait(c)
	case http.StateIdle:
		l.wait(c)
	case http.StateActive:
		l.forget(c)
	case http.StateClosed, http.StateHijacked:
		l.held--
		l.forget(c)
	}
	if victim != nil {
		l.forget(victim) // it is counted until the server has let go of it
	}
	l.mu.Unlock()
	if victim != nil {
		victim.Close()
	}
}

func (l *connLimit) wait(c net.Conn) {
	l.forget(c)
	l.places[c] = l.waiting.PushBack(c)
}

func (l *connLimit) forget(c net.Conn) {
	if place, ok := l.places[c]; ok {
		l.waiting.Remove(place)
		delete(l.places, c)
	}
}

// say logs that the limit is met, at most once in ten seconds. The caller holds
// the lock.
func (l *connLimit) say() {
	if now := time.Now(); now.Sub(l.said) >= 10*time.Second {
		l.said = now
		l.log.Failure(context.Background(), "as many connections as this process may take; those that wait longest are closed", errTooManyConns)
	}
}
