-- Version 1. Times are Unix milliseconds, 0 for none. Texts are never NULL.
-- Tables that are purged by age keep their rowid, which grows with time.

CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
-- Each exclusive opening raises the epoch, which ends the claims of the one before.
INSERT INTO meta VALUES ('epoch', 0);

CREATE TABLE accounts (
  id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX accounts_by_age ON accounts (created_at, id);

CREATE TABLE keys (
  account TEXT NOT NULL, id TEXT NOT NULL, hash BLOB NOT NULL UNIQUE, name TEXT NOT NULL, prefix TEXT NOT NULL,
  scopes TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, revoked_at INTEGER NOT NULL,
  PRIMARY KEY (account, id)
) WITHOUT ROWID;

CREATE TABLE idempotency (
  account TEXT NOT NULL, key BLOB NOT NULL, body BLOB NOT NULL, event TEXT NOT NULL,
  created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
  UNIQUE (account, key)
);

CREATE TABLE endpoints (
  account TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, name TEXT NOT NULL, url TEXT NOT NULL,
  event_types TEXT NOT NULL, source_ids TEXT NOT NULL, format TEXT NOT NULL, signatures TEXT NOT NULL,
  status TEXT NOT NULL, secret TEXT NOT NULL, secret_preview TEXT NOT NULL, old_secret TEXT NOT NULL,
  old_secret_until INTEGER NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
  disabled_at INTEGER NOT NULL, disabled_reason TEXT NOT NULL, revoked_at INTEGER NOT NULL, key_id TEXT NOT NULL,
  PRIMARY KEY (account, id)
) WITHOUT ROWID;
CREATE INDEX endpoints_live ON endpoints (account) WHERE revoked_at = 0;
CREATE UNIQUE INDEX endpoints_of_key ON endpoints (account, key_id) WHERE revoked_at = 0 AND key_id <> '';

CREATE TABLE counters (
  endpoint TEXT PRIMARY KEY, last_success_at INTEGER NOT NULL, last_failure_at INTEGER NOT NULL,
  failure_count INTEGER NOT NULL, failing_since INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE sources (
  id TEXT PRIMARY KEY, account TEXT NOT NULL, version INTEGER NOT NULL, provider TEXT NOT NULL, name TEXT NOT NULL,
  status TEXT NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, secret TEXT NOT NULL,
  old_secret TEXT NOT NULL, old_secret_until INTEGER NOT NULL, token_hash BLOB NOT NULL, old_token_hash BLOB NOT NULL,
  old_token_until INTEGER NOT NULL, token TEXT NOT NULL, api_key TEXT NOT NULL, api TEXT NOT NULL, confirm TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX sources_of_account ON sources (account, created_at, id);

CREATE TABLE expectations (
  source TEXT NOT NULL, request TEXT NOT NULL, account TEXT NOT NULL, created_at INTEGER NOT NULL,
  asked INTEGER NOT NULL, next_at INTEGER NOT NULL, give_up_at INTEGER NOT NULL, event TEXT NOT NULL,
  gave_up INTEGER NOT NULL,
  UNIQUE (source, request)
);
CREATE INDEX expectations_by_age ON expectations (source, created_at, request);
CREATE INDEX expectations_unresolved ON expectations (source) WHERE event = '' AND gave_up = 0;

-- What an event is and what was decided about it; written once but for claims.
CREATE TABLE events (
  account TEXT NOT NULL, id TEXT NOT NULL, created_at INTEGER NOT NULL, mid TEXT NOT NULL,
  claimed_until INTEGER NOT NULL, claim_epoch INTEGER NOT NULL, type TEXT NOT NULL, format TEXT NOT NULL,
  source TEXT NOT NULL, verified_by TEXT NOT NULL, test INTEGER NOT NULL, request TEXT NOT NULL, only TEXT NOT NULL,
  confirm TEXT NOT NULL, matched TEXT NOT NULL, unmatched TEXT NOT NULL, payload BLOB NOT NULL,
  UNIQUE (account, id)
);

-- The list of an account's events.
CREATE TABLE listed (
  account TEXT NOT NULL, created_at INTEGER NOT NULL, id TEXT NOT NULL, status TEXT NOT NULL, type TEXT NOT NULL,
  format TEXT NOT NULL, source TEXT NOT NULL, verified_by TEXT NOT NULL, test INTEGER NOT NULL,
  request TEXT NOT NULL, only TEXT NOT NULL, confirm TEXT NOT NULL,
  PRIMARY KEY (account, created_at, id)
) WITHOUT ROWID;
-- Nearly every event is delivered, so this one is small and seldom written.
CREATE INDEX listed_by_status ON listed (account, status, created_at, id) WHERE status <> 'delivered';

CREATE TABLE deliveries (
  account TEXT NOT NULL, event TEXT NOT NULL, endpoint TEXT NOT NULL, event_created_at INTEGER NOT NULL,
  run INTEGER NOT NULL, attempts INTEGER NOT NULL, status TEXT NOT NULL, next_at INTEGER NOT NULL,
  PRIMARY KEY (account, event, endpoint)
) WITHOUT ROWID;
CREATE INDEX deliveries_open ON deliveries (next_at, account, event, endpoint)
  WHERE status IN ('pending', 'retrying') AND next_at > 0;

CREATE TABLE runs (
  account TEXT NOT NULL, event TEXT NOT NULL, endpoint TEXT NOT NULL, number INTEGER NOT NULL, token TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  PRIMARY KEY (account, event, endpoint)
) WITHOUT ROWID;

CREATE TABLE attempts (
  endpoint TEXT NOT NULL, id TEXT NOT NULL, account TEXT NOT NULL, event TEXT NOT NULL, type TEXT NOT NULL,
  run INTEGER NOT NULL, number INTEGER NOT NULL, status TEXT NOT NULL, final INTEGER NOT NULL, http INTEGER NOT NULL,
  request TEXT NOT NULL, duration INTEGER NOT NULL, snippet TEXT NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL,
  due_at INTEGER NOT NULL, created_at INTEGER NOT NULL, next_at INTEGER NOT NULL, mid TEXT NOT NULL,
  event_created_at INTEGER NOT NULL,
  UNIQUE (endpoint, id)
);
CREATE INDEX attempts_bad ON attempts (endpoint, id) WHERE status <> 'succeeded';
CREATE INDEX attempts_of_event ON attempts (event, endpoint, id);

CREATE TABLE replays (
  id TEXT PRIMARY KEY, account TEXT NOT NULL, version INTEGER NOT NULL, endpoint TEXT NOT NULL, since INTEGER NOT NULL,
  until INTEGER NOT NULL, selected TEXT NOT NULL, max_per_second INTEGER NOT NULL, status TEXT NOT NULL,
  started INTEGER NOT NULL, after TEXT NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
  finished_at INTEGER NOT NULL
) WITHOUT ROWID;

-- The queues. Bodies are apart, so that receiving a message rewrites few bytes.
CREATE TABLE messages (
  id INTEGER PRIMARY KEY, lane TEXT NOT NULL, visible_at INTEGER NOT NULL, receives INTEGER NOT NULL,
  receipt INTEGER NOT NULL, in_flight INTEGER NOT NULL, sent_at INTEGER NOT NULL, grp TEXT NOT NULL
);
CREATE INDEX messages_due ON messages (lane, visible_at, id);
CREATE TABLE bodies (id INTEGER PRIMARY KEY, body BLOB NOT NULL);

CREATE TABLE dead (
  id INTEGER PRIMARY KEY AUTOINCREMENT, lane TEXT NOT NULL, dead_at INTEGER NOT NULL, receives INTEGER NOT NULL,
  reason TEXT NOT NULL, grp TEXT NOT NULL, body BLOB NOT NULL
);
CREATE INDEX dead_of_lane ON dead (lane, id);
