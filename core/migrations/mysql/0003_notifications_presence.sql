-- What was notified, for those who were away. ids are of whoever produced the record, hence one a user.
CREATE TABLE notifications (
    user_id           VARCHAR(128) NOT NULL,
    id                VARCHAR(128) NOT NULL,
    type              VARCHAR(64)  NOT NULL,
    title             VARCHAR(200) NOT NULL,
    content           TEXT         NOT NULL,
    related_entity_id VARCHAR(128) NULL,
    conversation_id   VARCHAR(128) NULL,
    is_read           BIGINT       NOT NULL DEFAULT 0,
    created_at        BIGINT       NOT NULL,
    PRIMARY KEY (user_id, id),
    KEY notifications_newest (user_id, created_at, id),
    KEY notifications_unread (user_id, is_read),
    KEY notifications_expiry (created_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Who is online, and what of it others have yet to be told. NULL: nothing is due.
CREATE TABLE presence (
    user_id      VARCHAR(128) NOT NULL PRIMARY KEY,
    workspace_id VARCHAR(128) NOT NULL,
    is_online    BIGINT       NOT NULL,
    changed_at   BIGINT       NOT NULL,
    check_at     BIGINT       NULL, -- a connection of theirs ended: look then whether it was the last
    tell_at      BIGINT       NULL, -- the change is on user.events by then, or is told again
    KEY presence_check (check_at),
    KEY presence_tell (tell_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
