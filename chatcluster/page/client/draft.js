// Generated from clients/js/src by `npm run page` there. Do not edit.

// From what the application wants to send to what the platform accepts.
import { ChatError } from './errors.js';
import { ID } from './persistence.js';
/** A lone half of a surrogate pair: no text that could be UTF-8. */
const LONE_SURROGATE = /\p{Surrogate}/u;
/** A draft, or why there can be none. What the gateway could not even read, and so not refuse by name, ends here. */
export function draftOf(conversationId, content, options, maxContentBytes) {
    const { clientMsgId = randomId(), threadRootId, attachmentIds } = options;
    const refusal = (code, message) => new ChatError(code, message, { clientMsgId, conversationId });
    try {
        checkId('conversationId', conversationId);
        checkId('clientMsgId', clientMsgId);
        if (threadRootId !== undefined)
            checkId('threadRootId', threadRootId);
        for (const id of attachmentIds ?? [])
            checkId('attachmentIds', id);
        if (typeof content !== 'string')
            throw new TypeError('the content must be text');
        if (LONE_SURROGATE.test(content))
            throw new TypeError('the content is not well-formed Unicode');
    }
    catch (thrown) {
        return refusal('invalid_field', thrown.message);
    }
    const bytes = new TextEncoder().encode(content).length;
    if (bytes > maxContentBytes) {
        return refusal('payload_too_large', `the content has ${bytes} bytes, ${maxContentBytes} are accepted`);
    }
    return {
        clientMsgId,
        conversationId,
        content,
        ...(threadRootId !== undefined && { threadRootId }),
        ...(attachmentIds !== undefined && { attachmentIds: [...attachmentIds] }),
    };
}
export function isSameDraft(one, other) {
    return one.conversationId === other.conversationId && one.content === other.content;
}
/** Throws a TypeError where it cannot be an id of the platform. */
export function checkId(name, id) {
    if (typeof id !== 'string' || !ID.test(id))
        throw new TypeError(`${name} is not an id: ${JSON.stringify(id)}`);
}
/** Throws a TypeError where it cannot be a place in a conversation. */
export function checkSeq(seq) {
    if (!Number.isSafeInteger(seq) || seq < 0)
        throw new TypeError(`seq must be a whole number from 0, not ${seq}`);
}
/** 128 random bits; crypto.randomUUID is missing on plain http outside localhost. */
function randomId() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
