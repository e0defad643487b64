-- Names besides the user's whose user events the token behind the ticket may listen to, separated by commas.
ALTER TABLE tickets ADD COLUMN user_events TEXT NULL;
