// Generated from clients/js/src by `npm run page` there. Do not edit.

// Time, so that tests can hold it still; and timers by name, of which all can be ended at once.
export const systemClock = {
    now: () => Date.now(),
    setTimeout: (action, delayMs) => setTimeout(action, delayMs),
    clearTimeout: (timer) => clearTimeout(timer),
};
export class Timers {
    #clock;
    #running = new Map();
    constructor(clock) {
        this.#clock = clock;
    }
    has(name) {
        return this.#running.has(name);
    }
    /** Setting one again replaces it. */
    set(name, delayMs, action) {
        this.clear(name);
        const timer = this.#clock.setTimeout(() => {
            this.#running.delete(name);
            action();
        }, delayMs);
        this.#running.set(name, timer);
    }
    clear(name) {
        if (!this.#running.has(name))
            return;
        this.#clock.clearTimeout(this.#running.get(name));
        this.#running.delete(name);
    }
    clearAll() {
        for (const name of [...this.#running.keys()])
            this.clear(name);
    }
}
