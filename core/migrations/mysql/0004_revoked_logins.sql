-- Logins that were ended while access tokens of theirs may still be good. Rows go when those have expired.
CREATE TABLE revoked_logins (
    login            CHAR(36) NOT NULL PRIMARY KEY, -- the family of its refresh tokens; claim sid of its access tokens
    revoked_at       BIGINT   NOT NULL,             -- milliseconds
    tokens_expire_at BIGINT   NOT NULL,             -- seconds, as tokens say it
    KEY revoked_logins_at (revoked_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The login of the token that asked for the ticket.
ALTER TABLE tickets ADD COLUMN login CHAR(36) NULL;

-- Signing out everywhere looks for all logins of a user.
ALTER TABLE refresh_tokens ADD KEY refresh_tokens_user (user_id);
