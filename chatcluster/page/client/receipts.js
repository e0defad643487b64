// Generated from clients/js/src by `npm run page` there. Do not edit.

// Tells the server how far the user received and read: the highest seq of a conversation, once for many moves, and again
// after a reconnect where it may have been lost on the way (the server does not answer receipts; they only move forward).
import { Timers } from './clock.js';
const DELAY_MS = 200;
/** Frames written in one go. */
const BATCH = 200;
/** What was written this long before a connection ended counts as arrived. */
const DOUBT_MS = 60_000;
/** Conversations remembered; what is dropped is made up for by their next receipt. */
const LIMIT = 10_000;
export class Receipts {
    #due = new Map();
    #written = new Map();
    #timers;
    #clock;
    #transmit;
    /** `transmit` is false while there is no connection. */
    constructor({ clock, transmit }) {
        this.#clock = clock;
        this.#transmit = transmit;
        this.#timers = new Timers(clock);
    }
    delivered(conversationId, seq) {
        this.#raise(conversationId, { deliveredSeq: seq });
    }
    read(conversationId, seq) {
        this.#raise(conversationId, { readSeq: seq });
    }
    /** The user is no member any more: nobody may ask, and nobody would be told. */
    forget(conversationId) {
        this.#due.delete(conversationId);
        this.#written.delete(conversationId);
    }
    /** A new connection: what the old one may have lost is said again. */
    connected() {
        for (const [conversationId, { marks, at }] of this.#written) {
            if (this.#clock.now() - at < DOUBT_MS)
                this.#raise(conversationId, marks);
        }
        this.#written.clear();
        this.flush();
    }
    /** Writes what is due. */
    flush() {
        this.#timers.clear('flush');
        let written = 0;
        for (const [conversationId, marks] of this.#due) {
            if (written === BATCH) {
                this.#soon();
                return;
            }
            if (!this.#transmit({ type: 'RECEIPT', conversationId, ...marks }))
                return;
            written += 1;
            this.#due.delete(conversationId);
            // last in the map = written last
            this.#written.delete(conversationId);
            this.#written.set(conversationId, { marks, at: this.#clock.now() });
        }
        this.#forgetArrived();
    }
    clear() {
        this.#timers.clearAll();
        this.#due.clear();
        this.#written.clear();
    }
    #raise(conversationId, { deliveredSeq, readSeq }) {
        const marks = this.#due.get(conversationId) ?? {};
        if (deliveredSeq !== undefined)
            marks.deliveredSeq = Math.max(marks.deliveredSeq ?? 0, deliveredSeq);
        if (readSeq !== undefined)
            marks.readSeq = Math.max(marks.readSeq ?? 0, readSeq);
        this.#due.set(conversationId, marks);
        dropFirst(this.#due);
        this.#soon();
    }
    #soon() {
        if (!this.#timers.has('flush'))
            this.#timers.set('flush', DELAY_MS, () => this.flush());
    }
    #forgetArrived() {
        for (const [conversationId, { at }] of this.#written) {
            if (this.#clock.now() - at < DOUBT_MS)
                break;
            this.#written.delete(conversationId);
        }
        dropFirst(this.#written);
    }
}
function dropFirst(marks) {
    if (marks.size <= LIMIT)
        return;
    const [first] = marks.keys();
    if (first !== undefined)
        marks.delete(first);
}
