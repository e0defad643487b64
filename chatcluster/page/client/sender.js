// Generated from clients/js/src by `npm run page` there. Do not edit.

// Gets the outbox's messages to the server, and their outcomes to whoever waits for them.
import { fullJitter } from './backoff.js';
import { Timers } from './clock.js';
import { isSameDraft } from './draft.js';
import { ChatError } from './errors.js';
/** Refusals that mean "not now". */
const NOT_NOW = new Set(['unavailable', 'rate_limited', 'not_connected', 'unauthenticated', 'token_expired', 'token_revoked']);
/** Refusals that may pass, but not for ever. */
const MAY_PASS = new Set(['internal']);
const MAX_STRIKES = 5;
/** The gateway refuses what core has not answered for 10 s; a gateway that does not even do that is not well. */
const ANSWER_MS = 20_000;
/** After this long without an answer it is worth a look whether there is still anybody. */
const DOUBT_MS = 5_000;
const PAUSE = { baseMs: 500, capMs: 20_000 };
/** 1009: a frame was too big for the gateway. */
const TOO_BIG = 1009;
export class Sender {
    #parts;
    #timers;
    #waiting = new Map();
    #isConnected = false;
    #refusals = 0;
    constructor(parts) {
        this.#parts = parts;
        this.#timers = new Timers(parts.clock);
    }
    /** Takes a message, or refuses it; the same one again is the same promise. */
    send(draft) {
        const { clientMsgId, conversationId } = draft;
        const { outbox, onChange } = this.#parts;
        const refuse = (code, message) => Promise.reject(new ChatError(code, message, { clientMsgId, conversationId }));
        const known = outbox.get(clientMsgId);
        if (known && !isSameDraft(known, draft)) {
            return refuse('client_msg_id_reused', `another message waits as ${clientMsgId}`);
        }
        if (!known) {
            if (!outbox.add(draft))
                return refuse('outbox_full', `${outbox.size} messages are waiting to be sent`);
            onChange();
        }
        const outcome = this.#outcome(clientMsgId);
        this.pump();
        return outcome;
    }
    #outcome(clientMsgId) {
        const known = this.#waiting.get(clientMsgId);
        if (known)
            return known.promise;
        let resolve = () => { };
        let reject = () => { };
        const promise = new Promise((onSent, onFailed) => {
            resolve = onSent;
            reject = onFailed;
        });
        // nobody has to look at it: `failed` says the same
        promise.catch(() => { });
        this.#waiting.set(clientMsgId, { promise, resolve, reject });
        return promise;
    }
    connected() {
        this.#isConnected = true;
        this.#refusals = 0;
        this.pump();
    }
    disconnected(code) {
        this.#isConnected = false;
        this.#timers.clearAll();
        const back = this.#parts.outbox.putAllBack();
        if (code !== TOO_BIG)
            return;
        // one of them is what the gateway did not take; sent again, it would end every connection to come
        const longest = back.sort((a, b) => b.content.length - a.content.length)[0];
        if (longest)
            this.#fail(longest.clientMsgId, 'payload_too_large', 'the message is too long for the gateway');
    }
    /** Sends what may be sent. */
    pump() {
        if (!this.#isConnected || this.#timers.has('pause'))
            return;
        for (const draft of this.#parts.outbox.take()) {
            if (this.#parts.transmit({ type: 'SEND', ...draft }))
                this.#awaitAnswer(draft);
            else
                this.#parts.outbox.putBack(draft.clientMsgId, { strike: false });
        }
    }
    acknowledged({ clientMsgId, messageId, conversationId, seq }) {
        this.#refusals = 0;
        this.#settle(clientMsgId, { clientMsgId, messageId, conversationId, seq });
    }
    /** An own message came back: it is stored, whatever became of its ACK. */
    stored(event, userId) {
        if (event.type !== 'MESSAGE' || event.senderId !== userId)
            return;
        const { clientMsgId, messageId, conversationId, seq } = event;
        this.#settle(clientMsgId, { clientMsgId, messageId, conversationId, seq });
    }
    /** False: the refusal is about no message that waits. */
    refused({ code, message, clientMsgId }) {
        if (clientMsgId === undefined || !this.#parts.outbox.get(clientMsgId))
            return false;
        this.#timers.clear(`answer ${clientMsgId}`);
        const mayPass = MAY_PASS.has(code);
        if (!NOT_NOW.has(code) && !mayPass) {
            this.#fail(clientMsgId, code, message ?? code);
            this.pump();
            return true;
        }
        if (this.#parts.outbox.putBack(clientMsgId, { strike: mayPass }) >= MAX_STRIKES) {
            this.#fail(clientMsgId, code, message ?? code);
        }
        this.#refusals += 1;
        // half of it for certain: the server said "not now"
        const pause = fullJitter(this.#refusals - 1, PAUSE, () => 0.5 + this.#parts.random() / 2);
        if (!this.#timers.has('pause'))
            this.#timers.set('pause', pause, () => this.pump());
        return true;
    }
    /** False: it is not in the outbox. */
    cancel(clientMsgId) {
        const isThere = this.#parts.outbox.get(clientMsgId) !== undefined;
        if (isThere)
            this.#fail(clientMsgId, 'cancelled', 'the message was cancelled; it may have been stored already');
        this.pump();
        return isThere;
    }
    /** Everything that waits is given up. */
    giveUp(code, message) {
        for (const { clientMsgId } of this.#parts.outbox.drafts())
            this.#fail(clientMsgId, code, message);
    }
    /** Whoever waits is told; the messages stay in the outbox. */
    stop(code, message) {
        this.#isConnected = false;
        this.#timers.clearAll();
        for (const [clientMsgId, { reject }] of this.#waiting)
            reject(new ChatError(code, message, { clientMsgId }));
        this.#waiting.clear();
    }
    #awaitAnswer(draft) {
        const timer = `answer ${draft.clientMsgId}`;
        this.#timers.set(timer, DOUBT_MS, () => {
            this.#timers.set(timer, ANSWER_MS - DOUBT_MS, () => this.#unanswered(draft));
            this.#parts.onDoubt();
        });
    }
    #unanswered({ clientMsgId }) {
        if (this.#parts.outbox.putBack(clientMsgId, { strike: true }) >= MAX_STRIKES) {
            this.#fail(clientMsgId, 'no_answer', 'the server does not say what became of the message');
        }
        this.#parts.onUnanswered();
    }
    #settle(clientMsgId, sent) {
        this.#timers.clear(`answer ${clientMsgId}`);
        if (!this.#parts.outbox.remove(clientMsgId))
            return;
        this.#parts.onChange();
        this.#waiting.get(clientMsgId)?.resolve(sent);
        this.#waiting.delete(clientMsgId);
        this.#parts.onSent(sent);
        this.pump();
    }
    #fail(clientMsgId, code, message) {
        this.#timers.clear(`answer ${clientMsgId}`);
        const draft = this.#parts.outbox.remove(clientMsgId);
        if (!draft)
            return;
        this.#parts.onChange();
        const error = new ChatError(code, message, { clientMsgId, conversationId: draft.conversationId });
        this.#waiting.get(clientMsgId)?.reject(error);
        this.#waiting.delete(clientMsgId);
        this.#parts.onFailed(error);
    }
}
