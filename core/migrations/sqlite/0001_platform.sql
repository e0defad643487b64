-- Times are milliseconds since the Unix epoch. The same tables as for MySQL.

CREATE TABLE users (
    id            TEXT         NOT NULL PRIMARY KEY,
    workspace_id  TEXT         NOT NULL,
    username      TEXT         NULL,
    display_name  TEXT         NOT NULL,
    password_hash TEXT         NULL,
    issuer        TEXT         NULL, -- NULL: signed up here
    created_at    BIGINT       NOT NULL,
    UNIQUE (workspace_id, username)
);

CREATE TABLE conversations (
    id           TEXT         NOT NULL PRIMARY KEY,
    workspace_id TEXT         NOT NULL,
    kind         TEXT         NOT NULL,
    name         TEXT         NULL,
    is_open      BIGINT       NOT NULL DEFAULT 0,
    creator_id   TEXT         NOT NULL,
    dm_key       TEXT         NULL, -- both user ids in order: one dm for two people
    last_seq     BIGINT       NOT NULL DEFAULT 0,
    created_at   BIGINT       NOT NULL,
    UNIQUE (workspace_id, dm_key)
);

-- One row an interval of membership: event n is for the member when joined_seq <= n and (left_seq IS NULL or n <= left_seq).
CREATE TABLE conversation_members (
    conversation_id TEXT         NOT NULL,
    user_id         TEXT         NOT NULL,
    joined_seq      BIGINT       NOT NULL,
    left_seq        BIGINT       NULL,
    joined_at       BIGINT       NOT NULL,
    PRIMARY KEY (conversation_id, user_id, joined_seq)
);
CREATE INDEX conversation_members_user ON conversation_members (user_id, left_seq);

CREATE TABLE messages (
    id              TEXT         NOT NULL PRIMARY KEY,
    conversation_id TEXT         NOT NULL,
    seq             BIGINT       NOT NULL,
    sender_id       TEXT         NOT NULL,
    client_msg_id   TEXT         NOT NULL,
    content         TEXT         NOT NULL,
    thread_root_id  TEXT         NULL,
    attachment_ids  TEXT         NULL, -- a JSON array
    created_at      BIGINT       NOT NULL,
    UNIQUE (conversation_id, seq),
    UNIQUE (sender_id, client_msg_id)
);

-- The ordered log. payload is the JSON that clients and Kafka see, byte for byte.
CREATE TABLE conversation_events (
    conversation_id TEXT         NOT NULL,
    seq             BIGINT       NOT NULL,
    event_type      TEXT         NOT NULL,
    subject_id      TEXT         NULL,
    payload         TEXT         NOT NULL,
    created_at      BIGINT       NOT NULL,
    PRIMARY KEY (conversation_id, seq)
);

CREATE TABLE message_acks (
    conversation_id TEXT         NOT NULL,
    user_id         TEXT         NOT NULL,
    delivered_seq   BIGINT       NOT NULL DEFAULT 0,
    read_seq        BIGINT       NOT NULL DEFAULT 0,
    updated_at      BIGINT       NOT NULL,
    PRIMARY KEY (conversation_id, user_id)
);

-- Debezium's Outbox Event Router reads the columns id, aggregatetype, aggregateid, type, payload under their default
-- names; Rows are inserted and deleted, never updated.
CREATE TABLE message_producer_outbox (
    id            TEXT         NOT NULL UNIQUE,
    position      INTEGER      PRIMARY KEY AUTOINCREMENT,
    aggregatetype TEXT         NOT NULL, -- the topic, prefix included
    aggregateid   TEXT         NOT NULL, -- the record's key
    type          TEXT         NOT NULL, -- header eventType
    payload       TEXT         NOT NULL,
    traceparent   TEXT         NULL,
    shard         BIGINT       NOT NULL,
    created_at    BIGINT       NOT NULL
);
CREATE INDEX message_producer_outbox_shard ON message_producer_outbox (shard, position);

CREATE TABLE refresh_tokens (
    hash       TEXT         NOT NULL PRIMARY KEY, -- SHA-256 in hex; the token itself is nowhere
    family     TEXT         NOT NULL,
    user_id    TEXT         NOT NULL,
    expires_at BIGINT       NOT NULL,
    used_at    BIGINT       NULL,
    revoked    BIGINT       NOT NULL DEFAULT 0
);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE tickets (
    hash             TEXT         NOT NULL PRIMARY KEY,
    user_id          TEXT         NOT NULL,
    workspace_id     TEXT         NOT NULL,
    token_id         TEXT         NULL,
    token_expires_at BIGINT       NOT NULL, -- seconds: the session ends with the token that asked for the ticket
    expires_at       BIGINT       NOT NULL
);
CREATE INDEX tickets_expiry ON tickets (expires_at);

-- A gateway boot that is not heard of any more takes its connections with it.
CREATE TABLE gateway_boots (
    boot_id   TEXT         NOT NULL PRIMARY KEY,
    node      TEXT         NOT NULL,
    last_ping BIGINT       NOT NULL
);

CREATE TABLE connections (
    id           TEXT         NOT NULL PRIMARY KEY,
    user_id      TEXT         NOT NULL,
    workspace_id TEXT         NOT NULL,
    boot_id      TEXT         NOT NULL,
    connected_at BIGINT       NOT NULL
);
CREATE INDEX connections_user ON connections (user_id);
CREATE INDEX connections_boot ON connections (boot_id);

CREATE TABLE relay_leases (
    shard      BIGINT       NOT NULL PRIMARY KEY,
    holder     TEXT         NOT NULL,
    held_until BIGINT       NOT NULL -- by the database's clock
);
