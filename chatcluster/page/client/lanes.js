// Generated from clients/js/src by `npm run page` there. Do not edit.

// Hands what came in to the application: one lane a conversation, one item at a time and in order, the lanes beside each
// other. What the application fails at is handed to it again. Everything that waits is counted.
import { fullJitter } from './backoff.js';
import { Timers } from './clock.js';
const AGAIN = { baseMs: 1_000, capMs: 30_000 };
export class Lanes {
    #parts;
    #lanes = new Map();
    #timers;
    #running = new Set();
    /** Lanes that had no room when something came for them. */
    #behind = new Set();
    #items = 0;
    #characters = 0;
    #isStopped = false;
    constructor(parts) {
        this.#parts = parts;
        this.#timers = new Timers(parts.clock);
    }
    /** False: there is no room. The lane takes nothing more until `onRoom` was called, or `caughtUp` is. */
    hasRoom(conversationId) {
        if (!this.#behind.has(conversationId) && this.#isBelow(conversationId, 1))
            return true;
        this.#behind.add(conversationId);
        return false;
    }
    /** What was refused will come again now. */
    caughtUp() {
        this.#behind.clear();
    }
    push(conversationId, item, size) {
        let lane = this.#lanes.get(conversationId);
        if (!lane) {
            lane = { queue: [], size: 0, isRunning: false, failures: 0 };
            this.#lanes.set(conversationId, lane);
        }
        lane.queue.push({ item, size });
        lane.size += size;
        this.#items += 1;
        this.#characters += size;
        this.#start(conversationId, lane);
    }
    get isEmpty() {
        return this.#items === 0;
    }
    /** Drops what waits; what runs may finish. */
    clear() {
        this.#timers.clearAll();
        this.#behind.clear();
        this.#lanes.clear();
        this.#items = 0;
        this.#characters = 0;
    }
    /** Nothing more is handed out. Resolves when what runs has finished. */
    async stop() {
        this.#isStopped = true;
        this.#timers.clearAll();
        await Promise.all(this.#running);
    }
    #start(conversationId, lane) {
        if (lane.isRunning || this.#isStopped || this.#timers.has(conversationId))
            return;
        lane.isRunning = true;
        const run = this.#run(conversationId, lane).finally(() => {
            lane.isRunning = false;
            this.#running.delete(run);
        });
        this.#running.add(run);
    }
    async #run(conversationId, lane) {
        for (let next = lane.queue[0]; next !== undefined && !this.#isStopped; next = lane.queue[0]) {
            try {
                // a handler that answers at once is not made to wait for a turn of the loop
                const outcome = this.#parts.handle(next.item);
                if (outcome !== undefined)
                    await outcome;
            }
            catch (thrown) {
                this.#failed(conversationId, lane, next.item, thrown);
                return;
            }
            if (this.#lanes.get(conversationId) !== lane)
                return;
            this.#done(conversationId, lane);
        }
        if (lane.queue.length === 0)
            this.#lanes.delete(conversationId);
    }
    #done(conversationId, lane) {
        const done = lane.queue.shift();
        if (!done)
            return;
        lane.failures = 0;
        lane.size -= done.size;
        this.#items -= 1;
        this.#characters -= done.size;
        this.#parts.onHandled(conversationId, done.item);
        for (const behind of this.#behind) {
            if (!this.#isBelow(behind, 0.5))
                continue;
            this.#behind.clear();
            this.#parts.onRoom();
            return;
        }
    }
    #failed(conversationId, lane, item, thrown) {
        if (this.#lanes.get(conversationId) !== lane)
            return;
        lane.failures += 1;
        const pause = fullJitter(lane.failures - 1, AGAIN, this.#parts.random);
        if (!this.#isStopped) {
            this.#timers.set(conversationId, pause, () => this.#start(conversationId, lane));
        }
        this.#parts.onFailure(conversationId, item, thrown, lane.failures);
    }
    #isBelow(conversationId, part) {
        const { items, characters } = this.#parts.limits;
        const lane = this.#lanes.get(conversationId);
        return (this.#items < items * part &&
            this.#characters < characters * part &&
            (lane === undefined || (lane.queue.length < (items / 10) * part && lane.size < (characters / 4) * part)));
    }
}
