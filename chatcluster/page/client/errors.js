// Generated from clients/js/src by `npm run page` there. Do not edit.

// What this client rejects with and reports.
/**
 * `code` is one of the server's stable codes (docs/protocol.md), or one of this client's own:
 * `closed` (the client was closed), `cancelled` (by `cancel`), `outbox_full`, `no_answer` (the server took the message
 * again and again and never said what became of it), `other_user` (the token is now somebody else's),
 * `token_unavailable` (the token function failed), `handler_failed` (the application's handler threw),
 * `listener_failed`, `storage_failed`. `cause` is what was thrown, where something was.
 */
export class ChatError extends Error {
    code;
    /** The message it is about, where it is about one. */
    clientMsgId;
    conversationId;
    constructor(code, message, about = {}) {
        super(message, about.cause === undefined ? undefined : { cause: about.cause });
        this.name = 'ChatError';
        this.code = code;
        this.clientMsgId = about.clientMsgId;
        this.conversationId = about.conversationId;
    }
}
