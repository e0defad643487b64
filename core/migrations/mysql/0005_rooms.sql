-- How many members a conversation has now, and how its events go to the gateways whatever that number is: NULL leaves it
-- to the number.
ALTER TABLE conversations ADD COLUMN member_count BIGINT NOT NULL DEFAULT 0, ADD COLUMN fanout VARCHAR(16) NULL;
UPDATE conversations SET member_count =
    (SELECT COUNT(*) FROM conversation_members m WHERE m.conversation_id = conversations.id AND m.left_seq IS NULL);
