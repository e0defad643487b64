// Generated from clients/js/src by `npm run page` there. Do not edit.

// When to try again, and whether: what the end of a connection means. Pure.
/** Anywhere between nothing and the doubled-up ceiling: a restart is not answered by a stampede. */
export function fullJitter(failures, { baseMs, capMs }, random) {
    return random() * Math.min(capMs, baseMs * 2 ** Math.min(failures, 30));
}
/** Close codes of the gateway that are told apart (docs/protocol.md). */
export const CLOSE = {
    serviceRestart: 1012,
    tryAgainLater: 1013,
    unauthenticated: 4401,
    tokenExpired: 4410,
    tokenRevoked: 4411,
    tooManyConnections: 4430,
};
/** "Not now": the pause starts where eight times the first would be, and is never short. */
const CROWDED_FAILURES = 3;
/** "After a fix": the fix may be on the server's side, so this client asks again, seldom. */
const BROKEN_FAILURES = 6;
const BROKEN_CODES = new Set([1002, 1003, 1007, 1009]);
/** Fresh tokens refused one after the other, until it is taken for final. */
const MAX_REFUSALS = 3;
/** A restarting gateway names itself: no failure, but all of its clients come at once. */
const RESTART_SPREAD_MS = 1_000;
export class Reconnecting {
    #failures = 0;
    #refusals = 0;
    #options;
    constructor(options) {
        this.#options = options;
    }
    connected() {
        this.#refusals = 0;
    }
    after({ code, wasStable }) {
        if (wasStable)
            this.#failures = 0;
        const refused = refusalOf(code);
        if (refused) {
            this.#refusals += 1;
            if (!this.#options.canRenewToken || this.#refusals >= MAX_REFUSALS)
                return { kind: 'stop', ...refused };
        }
        const again = (afterMs, renewToken = refused !== undefined) => ({ kind: 'again', afterMs, renewToken });
        if (code === CLOSE.serviceRestart)
            return again(this.#options.random() * RESTART_SPREAD_MS);
        if (code === CLOSE.tokenExpired && wasStable)
            return again(0);
        if (BROKEN_CODES.has(code))
            this.#failures = Math.max(this.#failures, BROKEN_FAILURES);
        const isCrowded = code === CLOSE.tryAgainLater || code === CLOSE.tooManyConnections;
        if (isCrowded)
            this.#failures = Math.max(this.#failures, CROWDED_FAILURES);
        const random = isCrowded ? () => 0.5 + this.#options.random() / 2 : this.#options.random;
        const pause = fullJitter(this.#failures, this.#options, random);
        this.#failures += 1;
        return again(pause);
    }
}
function refusalOf(code) {
    switch (code) {
        case CLOSE.unauthenticated:
            return { code: 'unauthenticated', message: 'the server does not accept the token' };
        case CLOSE.tokenRevoked:
            return { code: 'token_revoked', message: 'the token was revoked: sign in again' };
        case CLOSE.tokenExpired:
            return { code: 'token_expired', message: 'the token has expired and there is no way to get a new one' };
        default:
            return undefined;
    }
}
