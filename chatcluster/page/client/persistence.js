// Generated from clients/js/src by `npm run page` there. Do not edit.

// Keeps position and outbox over a restart, in whatever keeps text by name: localStorage, sessionStorage, a file, a table.
import { Timers } from './clock.js';
/** What changes often is written at most this often. */
const PAUSE_MS = 100;
export class Persistence {
    #parts;
    #timers;
    #dirty = new Set();
    #writing;
    #isOpen = false;
    constructor(parts) {
        this.#parts = parts;
        this.#timers = new Timers(parts.clock);
    }
    async load() {
        const [resume, outbox] = await Promise.all([this.#read('resume'), this.#read('outbox')]);
        const userId = [outbox?.userId, resume?.userId].find((id) => typeof id === 'string');
        return {
            ...(userId !== undefined && { userId }),
            resume: readResumePoint(resume?.value),
            drafts: Array.isArray(outbox?.value) ? outbox.value.filter(isDraft) : [],
        };
    }
    /** What was loaded is part of the snapshot now, so that writing loses nothing. */
    open() {
        this.#isOpen = true;
        if (this.#dirty.size > 0)
            this.#schedule();
    }
    changed(part) {
        this.#dirty.add(part);
        if (this.#isOpen)
            this.#schedule();
    }
    /** Writes what changed now, and again what changes meanwhile. Resolves when it is written. */
    async flush() {
        this.#timers.clearAll();
        if (!this.#isOpen)
            return;
        await this.#writing;
        while (this.#dirty.size > 0) {
            this.#writing ??= this.#write();
            await this.#writing;
        }
        this.#timers.clearAll();
    }
    /** Writes what changed, and nothing after that. */
    async close() {
        await this.flush();
        this.#isOpen = false;
    }
    /** The first change is written at once, those that follow closely after a pause. */
    #schedule() {
        if (this.#timers.has('write'))
            return;
        if (!this.#writing)
            this.#writing = this.#write();
        this.#timers.set('write', PAUSE_MS, () => {
            if (this.#dirty.size > 0)
                this.#schedule();
        });
    }
    async #write() {
        // everything that changes in this turn of the loop goes along
        await undefined;
        try {
            const { storage, key, snapshot } = this.#parts;
            const { userId, resume, drafts } = snapshot();
            const value = { resume, outbox: drafts };
            const parts = [...this.#dirty];
            this.#dirty.clear();
            const writes = parts.map((part) => storage.setItem(`${key}.${part}`, JSON.stringify({ version: 1, userId, value: value[part] })));
            await Promise.all(writes);
        }
        catch (thrown) {
            this.#parts.onTrouble(thrown);
        }
        finally {
            this.#writing = undefined;
        }
    }
    async #read(part) {
        try {
            const text = await this.#parts.storage.getItem(`${this.#parts.key}.${part}`);
            if (typeof text !== 'string')
                return undefined;
            const kept = JSON.parse(text);
            return isObject(kept) && kept.version === 1 ? kept : undefined;
        }
        catch (thrown) {
            this.#parts.onTrouble(thrown);
            return undefined;
        }
    }
}
/** What of it is a resume point. */
export function readResumePoint(value) {
    if (!isObject(value))
        return { seqs: {} };
    const seqs = Object.entries(isObject(value.seqs) ? value.seqs : {}).filter(([id, seq]) => ID.test(id) && isPlace(seq));
    const { position } = value;
    return { seqs: Object.fromEntries(seqs), ...(typeof position === 'string' && { position }) };
}
const isPlace = (seq) => Number.isSafeInteger(seq) && seq >= 0;
const isObject = (value) => typeof value === 'object' && value !== null;
/** What the platform accepts as an id. */
export const ID = /^[A-Za-z0-9\-_.@|:+=~]{1,128}$/u;
function isDraft(value) {
    if (!isObject(value))
        return false;
    const { clientMsgId, conversationId, content } = value;
    return typeof content === 'string' && [clientMsgId, conversationId].every((id) => typeof id === 'string' && ID.test(id));
}
