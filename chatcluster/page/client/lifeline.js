// Generated from clients/js/src by `npm run page` there. Do not edit.

// Keeps one connection alive: a token, a socket, a pause, and again.
import { Reconnecting } from './backoff.js';
import { Timers } from './clock.js';
import { Connection } from './connection.js';
import { ChatError } from './errors.js';
/** A connection that lived this long ends a series of failures. */
const STABLE_MS = 5_000;
/** For the token function to answer. */
const TOKEN_MS = 30_000;
export class Lifeline {
    #parts;
    #timers;
    #reconnecting;
    #connection;
    #attempt;
    #renewToken = false;
    #state = 'offline';
    constructor(parts) {
        this.#parts = parts;
        this.#timers = new Timers(parts.clock);
        const canRenewToken = typeof parts.token === 'function';
        this.#reconnecting = new Reconnecting({ ...parts.backoff, random: parts.random, canRenewToken });
    }
    get state() {
        return this.#state;
    }
    start() {
        if (this.#state === 'closed' || this.#attempt || this.#connection)
            return;
        void this.#connect();
    }
    /** False: there is no session to write it to. */
    send(frame) {
        return this.#connection?.send(frame) ?? false;
    }
    /** A fresh connection instead of this one, at once. */
    recycle() {
        if (this.#state !== 'connected')
            return;
        this.#drop(0);
        void this.#connect();
    }
    /** Something may have changed: try now rather than when the pause is over, and look whether the server is there. */
    wake() {
        if (this.#state === 'connected')
            this.probe();
        else if (this.#timers.has('retry'))
            void this.#connect();
    }
    /** Finds out soon whether the connection is one. */
    probe() {
        this.#connection?.probe();
    }
    stop(error) {
        if (this.#state === 'closed')
            return;
        this.#drop(0);
        this.#become({ state: 'closed', ...(error && { error }) });
    }
    async #connect() {
        this.#timers.clearAll();
        const attempt = {};
        this.#attempt = attempt;
        this.#become({ state: 'connecting' });
        if (this.#attempt !== attempt)
            return;
        let token;
        try {
            token = await this.#token();
        }
        catch (thrown) {
            if (this.#attempt !== attempt)
                return;
            this.#timers.clear('token');
            const message = `no token: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
            this.#parts.onTrouble(new ChatError('token_unavailable', message, { cause: thrown }));
            if (this.#attempt === attempt)
                this.#ended({ code: 0, reason: message, connectedMs: 0 });
            return;
        }
        if (this.#attempt !== attempt)
            return;
        this.#timers.clear('token');
        this.#attempt = undefined;
        this.#renewToken = false;
        const { WebSocket, url, clock, resume } = this.#parts;
        try {
            this.#connection = new Connection({
                WebSocket,
                url,
                token,
                resume: resume(),
                clock,
                onConnected: (frame) => this.#connected(frame),
                onFrame: (frame) => this.#parts.onFrame(frame),
                onEnd: (end) => this.#ended(end),
            });
        }
        catch (thrown) {
            this.#ended({ code: 0, reason: `no socket: ${String(thrown)}`, connectedMs: 0 });
        }
    }
    async #token() {
        const { token } = this.#parts;
        if (typeof token === 'string')
            return token;
        const late = new Promise((_, reject) => {
            this.#timers.set('token', TOKEN_MS, () => reject(new Error(`no answer within ${TOKEN_MS / 1000} s`)));
        });
        const fresh = await Promise.race([token({ refused: this.#renewToken }), late]);
        if (typeof fresh !== 'string' || fresh === '')
            throw new TypeError('the token function gave no text');
        return fresh;
    }
    #connected(frame) {
        this.#reconnecting.connected();
        this.#become({ state: 'connected' });
        if (this.#state === 'connected')
            this.#parts.onConnected(frame);
    }
    #ended({ code, reason, connectedMs, refusal }) {
        this.#drop(code);
        if (this.#state === 'closed')
            return;
        const next = this.#reconnecting.after({ code, wasStable: connectedMs >= STABLE_MS });
        if (next.kind === 'stop') {
            const error = new ChatError(next.code, refusal?.message ?? next.message);
            this.stop(error);
            this.#parts.onStopped(error);
            return;
        }
        this.#renewToken ||= next.renewToken;
        this.#timers.set('retry', next.afterMs, () => void this.#connect());
        const ended = { code, reason: reason || (refusal?.code ?? '') };
        this.#become({ state: 'offline', retryInMs: next.afterMs, ended });
    }
    /** Nothing of the connection or attempt there was is heard of any more. */
    #drop(code) {
        this.#timers.clearAll();
        this.#attempt = undefined;
        const connection = this.#connection;
        this.#connection = undefined;
        connection?.drop();
        if (this.#state === 'connected')
            this.#parts.onDisconnected(code);
    }
    #become(change) {
        if (change.state === this.#state && change.state !== 'offline')
            return;
        this.#state = change.state;
        this.#parts.onState(change);
    }
}
