-- Logins that were ended while access tokens of theirs may still be good. Rows go when those have expired.
CREATE TABLE revoked_logins (
    login            TEXT    NOT NULL PRIMARY KEY, -- the family of its refresh tokens; claim sid of its access tokens
    revoked_at       INTEGER NOT NULL,             -- milliseconds
    tokens_expire_at INTEGER NOT NULL              -- seconds, as tokens say it
);
CREATE INDEX revoked_logins_at ON revoked_logins (revoked_at);

-- The login of the token that asked for the ticket.
ALTER TABLE tickets ADD COLUMN login TEXT NULL;

-- Signing out everywhere looks for all logins of a user.
CREATE INDEX refresh_tokens_user ON refresh_tokens (user_id);
