// Generated from clients/js/src by `npm run page` there. Do not edit.

// The rooms the application listens to. The server knows of them as long as a connection lasts; after that they are joined
// again, from where it was.
import { Timers } from './clock.js';
import { ChatError } from './errors.js';
/** Refusals that pass. `conflict`: the server is not done with the LEAVE before. */
const PASSING = new Set(['unavailable', 'conflict']);
const AGAIN_MS = 1_000;
export class Rooms {
    #parts;
    #timers;
    #wishes = new Map();
    /** Visits that were given up, and for which the server may still have something on its way. */
    #leaving = new Set();
    constructor(parts) {
        this.#parts = parts;
        this.#timers = new Timers(parts.clock);
    }
    /** Resolves once the room is heard, rejects when it is refused for good. */
    join(roomId, options) {
        if (this.#wishes.has(roomId)) {
            return Promise.reject(new ChatError('conflict', 'the room is joined already', { conversationId: roomId }));
        }
        const joining = new Promise((resolve, reject) => {
            this.#wishes.set(roomId, { options, record: options.since, promise: { resolve, reject } });
        });
        // whoever does not look at it is not to end the process by it
        joining.catch(() => { });
        this.#ask(roomId);
        return joining;
    }
    /** False: it was not joined. */
    leave(roomId) {
        const wish = this.#take(roomId);
        if (!wish)
            return false;
        wish.promise?.reject(new ChatError('cancelled', 'the room was left', { conversationId: roomId }));
        const isTold = this.#parts.transmit({ type: 'LEAVE', roomId });
        if (isTold && !wish.options.member)
            this.#leaving.add(roomId);
        return true;
    }
    /** Was it left, and the server does not know yet? */
    isLeaving(roomId) {
        return this.#leaving.has(roomId) && !this.#wishes.has(roomId);
    }
    /** Does the application listen to it as a visitor? */
    isVisited(roomId) {
        const wish = this.#wishes.get(roomId);
        return wish !== undefined && wish.options.member !== true;
    }
    /** A new connection: nobody there knows of any room. */
    connected() {
        this.#timers.clearAll();
        this.#leaving.clear();
        for (const roomId of this.#wishes.keys())
            this.#ask(roomId);
    }
    joined({ roomId, seq }) {
        const wish = this.#wishes.get(roomId);
        if (!wish)
            return;
        if (this.#parts.received(roomId) === undefined)
            this.#parts.onBegin(roomId, seq);
        // it was joined before, and nobody can say from which record on it was not heard
        if (!wish.promise && wish.record === undefined)
            this.#parts.onGap({ type: 'GAP', roomId });
        wish.promise?.resolve();
        wish.promise = undefined;
    }
    /** False: nobody listens there any more. */
    record({ roomId, id }) {
        const wish = this.#wishes.get(roomId);
        if (wish)
            wish.record = id ?? wish.record;
        return wish !== undefined;
    }
    gap({ roomId }) {
        return this.#wishes.has(roomId);
    }
    /** True: the server ended it. Otherwise it is the answer to a LEAVE. */
    left({ roomId }) {
        if (this.#leaving.delete(roomId))
            return false;
        return this.#take(roomId) !== undefined;
    }
    /** A refusal that is about a room. Answers what the application is to be told: of a room that it had. */
    refused({ roomId, code, message }) {
        if (roomId === undefined || !this.#wishes.has(roomId))
            return undefined;
        if (PASSING.has(code)) {
            this.#timers.set(roomId, AGAIN_MS, () => this.#ask(roomId));
            return undefined;
        }
        const promise = this.#take(roomId)?.promise;
        promise?.reject(new ChatError(code, message, { conversationId: roomId }));
        return promise ? undefined : { type: 'ERROR', code, message, roomId };
    }
    /** No room is wanted any more. */
    clear(code, message) {
        this.#timers.clearAll();
        const wishes = [...this.#wishes];
        this.#wishes.clear();
        this.#leaving.clear();
        for (const [roomId, { promise }] of wishes) {
            promise?.reject(new ChatError(code, message, { conversationId: roomId }));
        }
    }
    #ask(roomId) {
        const wish = this.#wishes.get(roomId);
        if (!wish)
            return;
        const { history } = wish.options;
        const after = this.#parts.received(roomId) ?? wish.options.after;
        this.#parts.transmit({
            type: 'JOIN',
            roomId,
            ...(after !== undefined && { after }),
            ...(wish.record !== undefined ? { since: wish.record } : history !== undefined && wish.promise && { history }),
        });
    }
    #take(roomId) {
        const wish = this.#wishes.get(roomId);
        this.#timers.clear(roomId);
        this.#wishes.delete(roomId);
        if (wish && !wish.options.member)
            this.#parts.onOver(roomId);
        return wish;
    }
}
