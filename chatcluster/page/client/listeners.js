// Generated from clients/js/src by `npm run page` there. Do not edit.

// Who wants to hear of what. Nothing is kept for those who come later, and nobody can break the others.
export class Listeners {
    #byType = new Map();
    #onThrow;
    /** `onThrow` gets what a listener of `type` threw. */
    constructor(onThrow) {
        this.#onThrow = onThrow;
    }
    /** Returns the function that ends it. The same listener counts once. */
    on(type, listener) {
        const listeners = this.#byType.get(type) ?? new Set();
        this.#byType.set(type, listeners);
        listeners.add(listener);
        return () => {
            listeners.delete(listener);
        };
    }
    has(type) {
        return (this.#byType.get(type)?.size ?? 0) > 0;
    }
    emit(type, value) {
        for (const listener of [...(this.#byType.get(type) ?? [])]) {
            try {
                listener(value);
            }
            catch (thrown) {
                this.#onThrow(thrown, type);
            }
        }
    }
    clear() {
        for (const listeners of this.#byType.values())
            listeners.clear();
    }
}
