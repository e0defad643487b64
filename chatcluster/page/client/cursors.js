// Generated from clients/js/src by `npm run page` there. Do not edit.

// Where the client stands in each conversation: what is new, what is a repeat, what is missing. Pure.
/** Bytes of a resume point, half of them for the position: well within the 256 KiB that a gateway accepts as one frame. */
const RESUME_BYTES = 200 * 1024;
export class Cursors {
    /** The one that moved last is the last one. */
    #cursors = new Map();
    #limit;
    /** Said after everything that was received before it: what it says of conversations without a cursor is true. */
    position;
    constructor(limit = 10_000) {
        this.#limit = limit;
    }
    handled(conversationId) {
        return this.#cursors.get(conversationId)?.handled ?? 0;
    }
    received(conversationId) {
        return this.#cursors.get(conversationId)?.received;
    }
    /** Whatever comes next may start anywhere. */
    forget(conversationId) {
        this.#cursors.delete(conversationId);
    }
    isRepeat({ conversationId, seq }) {
        const cursor = this.#cursors.get(conversationId);
        return cursor !== undefined && seq <= cursor.received;
    }
    offer(event, userId) {
        const { conversationId, seq } = event;
        const cursor = this.#cursors.get(conversationId) ?? this.#start(conversationId, seq - 1);
        const { received } = cursor;
        if (seq <= received)
            return { kind: 'repeat' };
        const isOwn = 'userId' in event && event.userId === userId;
        const joinsAgain = event.type === 'USER_JOINED' && isOwn;
        const isHole = seq > received + 1 && !(cursor.left && joinsAgain);
        // what was before one's own joining is not sent, however often it is asked for
        if (isHole && !joinsAgain && cursor.askedFor !== received + 1) {
            cursor.askedFor = received + 1;
            return { kind: 'hole' };
        }
        this.#move(conversationId, cursor, seq);
        cursor.left = event.type === 'USER_LEFT' && isOwn;
        return isHole ? { kind: 'due', missed: { conversationId, from: received + 1, to: seq - 1 } } : { kind: 'due' };
    }
    /** The server will not send a range; what of it is news. */
    resync({ conversationId, from, head }) {
        const cursor = this.#cursors.get(conversationId) ?? this.#start(conversationId, from - 1);
        if (head <= cursor.received)
            return undefined;
        const missed = { conversationId, from: cursor.received + 1, to: head };
        this.#move(conversationId, cursor, head);
        return missed;
    }
    /** There is no room for what starts at `seq` now: the next connection is to bring it again. */
    refuse(conversationId, seq) {
        if (!this.#cursors.has(conversationId))
            this.#start(conversationId, seq - 1);
    }
    /** The application is done with everything up to `seq`. */
    finished(conversationId, seq) {
        const cursor = this.#cursors.get(conversationId);
        if (cursor)
            cursor.handled = Math.max(cursor.handled, seq);
    }
    /** Nothing up to `seq` is wanted (any more). */
    advance(conversationId, seq) {
        const cursor = this.#cursors.get(conversationId) ?? this.#start(conversationId, seq);
        if (seq > cursor.received)
            this.#move(conversationId, cursor, seq);
        cursor.handled = Math.max(cursor.handled, seq);
    }
    /** An earlier start was done with everything up to `seq`. */
    place(conversationId, seq) {
        this.#cursors.delete(conversationId);
        this.#start(conversationId, seq);
    }
    hasLeft(conversationId) {
        return this.#cursors.get(conversationId)?.left ?? false;
    }
    clear() {
        this.#cursors.clear();
        this.position = undefined;
    }
    /**
     * Where a new connection is to go on from. Of a user with thousands of conversations those that moved last: the server
     * goes on with the others from what was acknowledged.
     */
    resume() {
        const entries = [];
        const position = this.position !== undefined && this.position.length <= RESUME_BYTES / 2 ? this.position : undefined;
        let bytes = position?.length ?? 0;
        for (const [conversationId, { received, left }] of [...this.#cursors].reverse()) {
            if (left)
                continue;
            bytes += conversationId.length + 22;
            if (bytes > RESUME_BYTES)
                break;
            entries.push([conversationId, received]);
        }
        return pointOf(entries, position);
    }
    /** What the application is done with: where another start is to go on from. */
    done() {
        const kept = [...this.#cursors].filter(([, { left, handled, received }]) => !(left && handled === received));
        return pointOf(kept.map(([conversationId, { handled }]) => [conversationId, handled]), this.position);
    }
    #start(conversationId, seq) {
        const cursor = { received: seq, handled: seq, left: false, askedFor: 0 };
        this.#cursors.set(conversationId, cursor);
        if (this.#cursors.size > this.#limit)
            this.#forgetOne();
        return cursor;
    }
    #move(conversationId, cursor, seq) {
        cursor.received = seq;
        cursor.left = false;
        cursor.askedFor = 0;
        this.#cursors.delete(conversationId);
        this.#cursors.set(conversationId, cursor);
    }
    /** The one that was quiet longest and has nothing waiting. */
    #forgetOne() {
        for (const [conversationId, { handled, received }] of this.#cursors) {
            if (handled !== received)
                continue;
            this.#cursors.delete(conversationId);
            return;
        }
    }
}
function pointOf(seqs, position) {
    return { seqs: Object.fromEntries(seqs), ...(position !== undefined && { position }) };
}
