// Generated from clients/js/src by `npm run page` there. Do not edit.

// What a client is told when it is made: the options, their defaults, and what is refused.
import { systemClock } from './clock.js';
import { readResumePoint } from './persistence.js';
/** Throws a TypeError that names the option. */
export function settingsOf(options) {
    const { onEvent, onMissed, token, resumeFrom = { seqs: {} } } = options;
    if (typeof onEvent !== 'function')
        throw new TypeError('onEvent must be a function');
    if (typeof onMissed !== 'function')
        throw new TypeError('onMissed must be a function');
    if (typeof token !== 'function' && (typeof token !== 'string' || token === '')) {
        throw new TypeError('token must be a text or a function that gives one');
    }
    const socket = options.WebSocket ?? globalThis.WebSocket;
    if (socket === undefined)
        throw new TypeError('there is no global WebSocket here: give one as the option WebSocket');
    if (Object.keys(readResumePoint(resumeFrom).seqs).length !== Object.keys(resumeFrom.seqs).length) {
        throw new TypeError('resumeFrom.seqs must be whole numbers from 0 by conversation id');
    }
    return {
        handlers: { onEvent, onMissed },
        url: urlOf(options.url),
        token,
        WebSocket: socket,
        storage: options.storage,
        storageKey: options.storageKey ?? 'chatcluster',
        resumeFrom,
        maxContentBytes: limit('maxContentBytes', options.maxContentBytes ?? 64 * 1024),
        outboxLimits: limits('outboxLimits', { messages: 1_000, characters: 4 << 20 }, options.outboxLimits),
        intakeLimits: limits('intakeLimits', { items: 10_000, characters: 16 << 20 }, options.intakeLimits),
        backoff: limits('backoff', { baseMs: 400, capMs: 20_000 }, options.backoff),
        clock: options.clock ?? systemClock,
        random: options.random ?? Math.random,
    };
}
function urlOf(given) {
    const page = globalThis.location?.href;
    let url;
    try {
        url = new URL(typeof given === 'string' ? given : given.href, page);
    }
    catch {
        throw new TypeError(`url is not one: ${JSON.stringify(given)}`);
    }
    url.protocol = url.protocol.replace(/^http/u, 'ws');
    url.hash = '';
    if (url.protocol !== 'ws:' && url.protocol !== 'wss:')
        throw new TypeError(`url must be ws or wss, not ${url.protocol}`);
    return url.href;
}
function limits(name, defaults, given = {}) {
    const merged = { ...defaults, ...given };
    for (const [key, value] of Object.entries(merged))
        limit(`${name}.${key}`, value);
    return merged;
}
function limit(name, value) {
    if (typeof value !== 'number' || !(value > 0))
        throw new TypeError(`${name} must be a number above 0`);
    return value;
}
