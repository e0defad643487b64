-- What was notified, for those who were away. ids are of whoever produced the record, hence one a user.
CREATE TABLE notifications (
    user_id           TEXT   NOT NULL,
    id                TEXT   NOT NULL,
    type              TEXT   NOT NULL,
    title             TEXT   NOT NULL,
    content           TEXT   NOT NULL,
    related_entity_id TEXT   NULL,
    conversation_id   TEXT   NULL,
    is_read           BIGINT NOT NULL DEFAULT 0,
    created_at        BIGINT NOT NULL,
    PRIMARY KEY (user_id, id)
);
CREATE INDEX notifications_newest ON notifications (user_id, created_at, id);
CREATE INDEX notifications_unread ON notifications (user_id, is_read);
CREATE INDEX notifications_expiry ON notifications (created_at);

-- Who is online, and what of it others have yet to be told. NULL: nothing is due.
CREATE TABLE presence (
    user_id      TEXT   NOT NULL PRIMARY KEY,
    workspace_id TEXT   NOT NULL,
    is_online    BIGINT NOT NULL,
    changed_at   BIGINT NOT NULL,
    check_at     BIGINT NULL, -- a connection of theirs ended: look then whether it was the last
    tell_at      BIGINT NULL  -- the change is on user.events by then, or is told again
);
CREATE INDEX presence_check ON presence (check_at);
CREATE INDEX presence_tell ON presence (tell_at);
