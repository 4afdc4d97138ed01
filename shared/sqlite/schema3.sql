-- Version 3. What is kept besides: the subject, trace and passes of an event, the
-- request of an attempt, what an endpoint takes, how a source is verified, whom a
-- key descends from, how the runs of a replay ended, and what any call made.

ALTER TABLE events ADD COLUMN subject TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN traceparent TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN passes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN recorded_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN answered_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN answer_outcome TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN answer TEXT NOT NULL DEFAULT '';
ALTER TABLE listed ADD COLUMN subject TEXT NOT NULL DEFAULT '';
ALTER TABLE listed ADD COLUMN endpoints TEXT NOT NULL DEFAULT '';
CREATE INDEX listed_by_subject ON listed (account, subject, created_at, id) WHERE subject <> '';
ALTER TABLE deliveries ADD COLUMN not_before INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN url TEXT NOT NULL DEFAULT '';
ALTER TABLE attempts ADD COLUMN signatures TEXT NOT NULL DEFAULT '';
ALTER TABLE endpoints ADD COLUMN filter TEXT NOT NULL DEFAULT '';
ALTER TABLE endpoints ADD COLUMN max_per_second INTEGER NOT NULL DEFAULT 0;
ALTER TABLE endpoints ADD COLUMN max_in_flight INTEGER NOT NULL DEFAULT 0;
ALTER TABLE endpoints ADD COLUMN rotations INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sources ADD COLUMN recipe TEXT NOT NULL DEFAULT '';
ALTER TABLE sources ADD COLUMN public_keys TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN ancestors TEXT NOT NULL DEFAULT '';
-- The keys of portal links: found by their hash alone, and soon gone.
CREATE TABLE link_keys (
  created_at INTEGER NOT NULL, id TEXT NOT NULL UNIQUE, account TEXT NOT NULL, name TEXT NOT NULL, hash BLOB PRIMARY KEY,
  prefix TEXT NOT NULL, scopes TEXT NOT NULL, expires_at INTEGER NOT NULL, revoked_at INTEGER NOT NULL, ancestors TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX link_keys_by_age ON link_keys (expires_at);
-- What an endpoint was busy with, by steps of time, and when each source called.
CREATE TABLE activity (
  endpoint TEXT NOT NULL, step INTEGER NOT NULL, at INTEGER NOT NULL, source TEXT NOT NULL, accepted INTEGER NOT NULL,
  delivered INTEGER NOT NULL, failed INTEGER NOT NULL,
  PRIMARY KEY (endpoint, step, at, source)
) WITHOUT ROWID;
CREATE TABLE calls (
  endpoint TEXT NOT NULL, source TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (endpoint, source)
) WITHOUT ROWID;
ALTER TABLE replays ADD COLUMN succeeded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE replays ADD COLUMN failed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE replays ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0;
ALTER TABLE replays ADD COLUMN open INTEGER NOT NULL DEFAULT 0;
ALTER TABLE replays ADD COLUMN counted_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE replays ADD COLUMN next_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX replays_of_account ON replays (account, id);
CREATE INDEX replays_unfinished ON replays (id) WHERE status IN ('running', 'draining');
CREATE TABLE replay_slots (endpoint TEXT PRIMARY KEY, taken_until INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX deliveries_of_endpoint ON deliveries (account, endpoint, event_created_at, event)
  WHERE status IN ('pending', 'retrying') AND next_at > 0;
ALTER TABLE idempotency ADD COLUMN route TEXT NOT NULL DEFAULT '';
ALTER TABLE idempotency ADD COLUMN key_id TEXT NOT NULL DEFAULT '';
ALTER TABLE expectations ADD COLUMN queued INTEGER NOT NULL DEFAULT 0;

-- Messages are received in turn, by account and then by group.
ALTER TABLE messages ADD COLUMN account TEXT NOT NULL DEFAULT '';
ALTER TABLE dead ADD COLUMN account TEXT NOT NULL DEFAULT '';
CREATE INDEX messages_in_turn ON messages (lane, account, grp, visible_at, id);

-- How much is kept of each account's events.
CREATE TABLE usage (account TEXT PRIMARY KEY, events INTEGER NOT NULL, bytes INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO usage SELECT account, count(*), sum(length(payload)) FROM events GROUP BY account;
CREATE TRIGGER usage_more AFTER INSERT ON events BEGIN
  INSERT INTO usage (account, events, bytes) VALUES (new.account, 1, length(new.payload))
    ON CONFLICT (account) DO UPDATE SET events = events + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER usage_less AFTER DELETE ON events BEGIN
  UPDATE usage SET events = events - 1, bytes = bytes - length(old.payload) WHERE account = old.account;
END;
CREATE TRIGGER usage_other AFTER UPDATE OF payload ON events BEGIN
  UPDATE usage SET bytes = bytes + length(new.payload) - length(old.payload) WHERE account = new.account;
END;

-- Deleted endpoints and dead keys age out.
CREATE INDEX endpoints_dead ON endpoints (revoked_at) WHERE revoked_at > 0;
CREATE INDEX keys_revoked ON keys (revoked_at) WHERE revoked_at > 0;
CREATE INDEX keys_expired ON keys (expires_at) WHERE expires_at > 0;

-- The calls of a source that were refused, by reason and hour.
CREATE TABLE refusals (
  source TEXT NOT NULL, hour INTEGER NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL, last_at INTEGER NOT NULL,
  PRIMARY KEY (source, hour, reason)
) WITHOUT ROWID;
CREATE INDEX refusals_by_age ON refusals (hour);

-- How an endpoint does, and who does what about it.
ALTER TABLE counters ADD COLUMN timeouts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE counters ADD COLUMN probe INTEGER NOT NULL DEFAULT 0;
ALTER TABLE counters ADD COLUMN degraded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE counters ADD COLUMN failing INTEGER NOT NULL DEFAULT 0;
ALTER TABLE counters ADD COLUMN recovered INTEGER NOT NULL DEFAULT 0;
