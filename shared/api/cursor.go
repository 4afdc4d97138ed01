package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	"hookferry/shared/relay"
)

// A cursor is base64url of 16 bytes of HMAC-SHA256, over what the list is and
// where the page ended, and that position. A store's positions are trusted only
// because of it: they may name another tenant's range.
const (
	cursorMAC = 16
	maxCursor = 4096 // characters
)

func (s *server) cursorSum(binding, position string) []byte {
	mac := hmac.New(sha256.New, s.cursorKey)
	// The binding ends with a query, which holds no NUL.
	mac.Write([]byte(binding + "\x00" + position))
	return mac.Sum(nil)[:cursorMAC]
}

func (s *server) sealCursor(binding, position string) string {
	return base64.RawURLEncoding.EncodeToString(append(s.cursorSum(binding, position), position...))
}

func (s *server) openCursor(binding, cursor string) (position string, err error) {
	if len(cursor) > maxCursor {
		return "", badCursor()
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) <= cursorMAC {
		return "", badCursor()
	}
	position = string(raw[cursorMAC:])
	if !hmac.Equal(raw[:cursorMAC], s.cursorSum(binding, position)) {
		return "", badCursor()
	}
	return position, nil
}

func badCursor() *relay.Error {
	return relay.Invalid("cursor", "cursor is not one of this list under these filters. Start again without it.")
}

// list is the answer of every list.
type list struct {
	Object     string  `json:"object"`
	Data       any     `json:"data"`
	HasMore    bool    `json:"has_more"`
	NextCursor *string `json:"next_cursor"`
}

// listed answers one page; next is the store's position of the next one. data
// must be a non-nil slice.
func (s *server) listed(binding string, data any, next string) (answer, error) {
	l := list{Object: "list", Data: data}
	if next != "" {
		cursor := s.sealCursor(binding, next)
		l.HasMore, l.NextCursor = true, &cursor
	}
	return ok(l)
}

// each maps a page's values to their wire form; never nil.
func each[T, W any](values []T, wire func(T) W) []W {
	ws := make([]W, len(values))
	for i, v := range values {
		ws[i] = wire(v)
	}
	return ws
}
