package relay

import (
	"crypto/sha256"
	"slices"
	"time"
)

// An Account owns keys, sources, endpoints and events. Nothing of one account
// is visible to another.
type Account struct {
	ID        string
	Name      string // unique
	CreatedAt time.Time
}

// A Scope is a right that an API key carries.
type Scope string

// The scopes (contract section 2). ScopeManage includes ScopeRead.
const (
	ScopeManage  Scope = "webhooks:manage"
	ScopeRead    Scope = "webhooks:read"
	ScopePublish Scope = "events:publish"
	ScopeSources Scope = "sources:manage"
	ScopeKeys    Scope = "keys:manage"

	// ScopeAccounts is the operator's: it makes accounts. Only the command line
	// gives it, on the store itself; no key passes it on, and it is no part of
	// Scopes.
	ScopeAccounts Scope = "accounts:manage"
)

// Scopes lists the scopes that the owner of an account can have and give.
func Scopes() []Scope {
	return []Scope{ScopeManage, ScopeRead, ScopePublish, ScopeSources, ScopeKeys}
}

// A Key is an API key. Its text is shown once, when it is made; what is kept is
// its SHA-256.
type Key struct {
	ID        string
	Account   string
	Name      string
	Hash      KeyHash
	Prefix    string // the first 12 characters, for people to tell keys apart
	Scopes    []Scope
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	RevokedAt time.Time // zero: live

	// Ancestors are the keys that this one descends from, its maker last; none
	// for a key that the command line made. There are at most MaxAncestors.
	Ancestors []string

	// Hidden marks the key of a portal link: it is not listed, not counted and not
	// found by its ID, always expires, and ends with its maker, whom whoever
	// finds it by its hash must check.
	Hidden bool
}

// MaxAncestors is how many keys one can descend from (contract section 2).
const MaxAncestors = 5

// CreatedBy returns the key that made this one, or "" if the command line did.
func (k Key) CreatedBy() string {
	if len(k.Ancestors) == 0 {
		return ""
	}
	return k.Ancestors[len(k.Ancestors)-1]
}

// KeyHash is the SHA-256 of an API key or of a source's token.
type KeyHash [sha256.Size]byte

// HashSecret returns the hash under which a key or token is known.
func HashSecret(s Secret) KeyHash { return sha256.Sum256([]byte(s)) }

// Allows reports whether the key carries the scope; webhooks:manage includes
// webhooks:read.
func (k Key) Allows(s Scope) bool {
	return slices.Contains(k.Scopes, s) || s == ScopeRead && slices.Contains(k.Scopes, ScopeManage)
}

// Check returns nil if the key may be used at now, else an *Error with
// KindKeyRevoked or KindKeyExpired.
func (k Key) Check(now time.Time) error {
	if !k.RevokedAt.IsZero() {
		return &Error{Kind: KindKeyRevoked, Detail: "This API key has been revoked."}
	}
	if !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt) {
		return &Error{Kind: KindKeyExpired, Detail: "This API key has expired."}
	}
	return nil
}
