// Generated from clients/js/src by `npm run page` there. Do not edit.

// The user's own typing: passed on now or not at all, and not with every key.
/** `isTyping: true` is said again after this long; receivers let it fade. */
const REPEAT_MS = 3_000;
export class TypingNotices {
    #clock;
    #transmit;
    #last;
    constructor({ clock, transmit }) {
        this.#clock = clock;
        this.#transmit = transmit;
    }
    /** A new connection: nobody knows of anything. */
    connected() {
        this.#last = undefined;
    }
    changed(conversationId, isTyping) {
        const now = this.#clock.now();
        const last = this.#last?.conversationId === conversationId ? this.#last : undefined;
        if (isTyping ? last && now < last.repeatAt : !last)
            return;
        this.#last = isTyping ? { conversationId, repeatAt: now + REPEAT_MS } : undefined;
        this.#transmit({ type: 'TYPING', conversationId, isTyping });
    }
}
