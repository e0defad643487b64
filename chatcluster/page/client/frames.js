// Generated from clients/js/src by `npm run page` there. Do not edit.

// The frames of the native WebSocket protocol (docs/protocol.md), and reading them: a frame that is not of its shape
// comes out as nothing.
const isText = (value) => typeof value === 'string';
/** True of what can be the seq of an event. */
export const isSeq = (value) => Number.isSafeInteger(value) && value > 0;
const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
const isBoolean = (value) => typeof value === 'boolean';
const isObject = (value) => typeof value === 'object' && value !== null;
/** What must be there, by type, before the rest of the client relies on it. */
const SHAPES = {
    CONNECTED: { userId: isText },
    ACK: { clientMsgId: isText, messageId: isText, conversationId: isText, seq: isSeq },
    RESYNC: { conversationId: isText, from: isSeq, head: isSeq },
    POSITION: { position: isText },
    TYPING: { conversationId: isText, userId: isText, isTyping: isBoolean },
    STATUS: { conversationId: isText, messageId: isText, status: isText, userId: isText },
    PRESENCE: { userId: isText, online: isBoolean },
    NOTIFICATION: { notification: isObject },
    JOINED: { roomId: isText, seq: isCount },
    message: { roomId: isText },
    GAP: { roomId: isText },
    LEFT: { roomId: isText },
    ERROR: { code: isText },
    PONG: {},
};
/** One text frame of the server; undefined for what this client has no use for. */
export function parseFrame(text) {
    if (!isText(text))
        return undefined;
    let frame;
    try {
        frame = JSON.parse(text);
    }
    catch {
        return undefined;
    }
    if (!isObject(frame) || !isText(frame.type))
        return undefined;
    const shape = Object.hasOwn(SHAPES, frame.type) ? SHAPES[frame.type] : undefined;
    if (shape) {
        for (const [name, fits] of Object.entries(shape))
            if (!fits(frame[name]))
                return undefined;
        return frame;
    }
    // whatever has a place in a conversation's log is an event of it, kinds to come included
    if (!isText(frame.conversationId) || !isSeq(frame.seq))
        return undefined;
    return { type: 'EVENT', event: frame };
}
