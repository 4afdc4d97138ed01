-- Version 2. Keys that are dead stay readable, and there is no end to how many an
-- account can make and revoke: what is asked of the live ones must not read them.

CREATE INDEX keys_live ON keys (account, expires_at) WHERE revoked_at = 0;
CREATE INDEX keys_by_age ON keys (account, created_at, id);
