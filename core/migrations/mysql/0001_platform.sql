-- Times are milliseconds since the Unix epoch. Ids compare by bytes, hence utf8mb4_bin. Integers are BIGINT throughout,
-- so that both databases hand out the same type.

CREATE TABLE users (
    id            VARCHAR(128) NOT NULL PRIMARY KEY,
    workspace_id  VARCHAR(128) NOT NULL,
    username      VARCHAR(64)  NULL,
    display_name  VARCHAR(200) NOT NULL,
    password_hash VARCHAR(255) NULL,
    issuer        VARCHAR(255) NULL, -- NULL: signed up here
    created_at    BIGINT       NOT NULL,
    UNIQUE KEY users_username (workspace_id, username)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE conversations (
    id           VARCHAR(128) NOT NULL PRIMARY KEY,
    workspace_id VARCHAR(128) NOT NULL,
    kind         VARCHAR(16)  NOT NULL,
    name         VARCHAR(200) NULL,
    is_open      BIGINT       NOT NULL DEFAULT 0,
    creator_id   VARCHAR(128) NOT NULL,
    dm_key       VARCHAR(260) NULL, -- both user ids in order: one dm for two people
    last_seq     BIGINT       NOT NULL DEFAULT 0,
    created_at   BIGINT       NOT NULL,
    UNIQUE KEY conversations_dm (workspace_id, dm_key)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- One row an interval of membership: event n is for the member when joined_seq <= n and (left_seq IS NULL or n <= left_seq).
CREATE TABLE conversation_members (
    conversation_id VARCHAR(128) NOT NULL,
    user_id         VARCHAR(128) NOT NULL,
    joined_seq      BIGINT       NOT NULL,
    left_seq        BIGINT       NULL,
    joined_at       BIGINT       NOT NULL,
    PRIMARY KEY (conversation_id, user_id, joined_seq),
    KEY conversation_members_user (user_id, left_seq)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE messages (
    id              VARCHAR(128) NOT NULL PRIMARY KEY,
    conversation_id VARCHAR(128) NOT NULL,
    seq             BIGINT       NOT NULL,
    sender_id       VARCHAR(128) NOT NULL,
    client_msg_id   VARCHAR(128) NOT NULL,
    content         MEDIUMTEXT   NOT NULL,
    thread_root_id  VARCHAR(128) NULL,
    attachment_ids  TEXT         NULL, -- a JSON array
    created_at      BIGINT       NOT NULL,
    UNIQUE KEY messages_seq (conversation_id, seq),
    UNIQUE KEY messages_client_msg_id (sender_id, client_msg_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- The ordered log. payload is the JSON that clients and Kafka see, byte for byte.
CREATE TABLE conversation_events (
    conversation_id VARCHAR(128) NOT NULL,
    seq             BIGINT       NOT NULL,
    event_type      VARCHAR(32)  NOT NULL,
    subject_id      VARCHAR(128) NULL,
    payload         MEDIUMTEXT   NOT NULL,
    created_at      BIGINT       NOT NULL,
    PRIMARY KEY (conversation_id, seq)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE message_acks (
    conversation_id VARCHAR(128) NOT NULL,
    user_id         VARCHAR(128) NOT NULL,
    delivered_seq   BIGINT       NOT NULL DEFAULT 0,
    read_seq        BIGINT       NOT NULL DEFAULT 0,
    updated_at      BIGINT       NOT NULL,
    PRIMARY KEY (conversation_id, user_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Debezium's Outbox Event Router reads the columns id, aggregatetype, aggregateid, type, payload under their default
-- names; payload is text so that the server does not reformat it. Rows are inserted and deleted, never updated.
CREATE TABLE message_producer_outbox (
    id            CHAR(36)     NOT NULL PRIMARY KEY,
    position      BIGINT       NOT NULL AUTO_INCREMENT,
    aggregatetype VARCHAR(249) NOT NULL, -- the topic, prefix included
    aggregateid   VARCHAR(255) NOT NULL, -- the record's key
    type          VARCHAR(64)  NOT NULL, -- header eventType
    payload       MEDIUMTEXT   NOT NULL,
    traceparent   VARCHAR(55)  NULL,
    shard         BIGINT       NOT NULL,
    created_at    BIGINT       NOT NULL,
    UNIQUE KEY message_producer_outbox_position (position),
    KEY message_producer_outbox_shard (shard, position)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE refresh_tokens (
    hash       CHAR(64)     NOT NULL PRIMARY KEY, -- SHA-256 in hex; the token itself is nowhere
    family     CHAR(36)     NOT NULL,
    user_id    VARCHAR(128) NOT NULL,
    expires_at BIGINT       NOT NULL,
    used_at    BIGINT       NULL,
    revoked    BIGINT       NOT NULL DEFAULT 0,
    KEY refresh_tokens_family (family),
    KEY refresh_tokens_expiry (expires_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE tickets (
    hash             CHAR(64)     NOT NULL PRIMARY KEY,
    user_id          VARCHAR(128) NOT NULL,
    workspace_id     VARCHAR(128) NOT NULL,
    token_id         VARCHAR(255) NULL,
    token_expires_at BIGINT       NOT NULL, -- seconds: the session ends with the token that asked for the ticket
    expires_at       BIGINT       NOT NULL,
    KEY tickets_expiry (expires_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- A gateway boot that is not heard of any more takes its connections with it.
CREATE TABLE gateway_boots (
    boot_id   VARCHAR(128) NOT NULL PRIMARY KEY,
    node      VARCHAR(128) NOT NULL,
    last_ping BIGINT       NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE connections (
    id           VARCHAR(128) NOT NULL PRIMARY KEY,
    user_id      VARCHAR(128) NOT NULL,
    workspace_id VARCHAR(128) NOT NULL,
    boot_id      VARCHAR(128) NOT NULL,
    connected_at BIGINT       NOT NULL,
    KEY connections_user (user_id),
    KEY connections_boot (boot_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE relay_leases (
    shard      BIGINT       NOT NULL PRIMARY KEY,
    holder     VARCHAR(255) NOT NULL,
    held_until BIGINT       NOT NULL -- by the database's clock
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
