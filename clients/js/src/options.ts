// What a client is told when it is made: the options, their defaults, and what is refused.

import type { BackoffOptions } from './backoff.js';
import { type Clock, systemClock } from './clock.js';
import type { WebSocketConstructor } from './connection.js';
import type { ResumePoint } from './cursors.js';
import type { Handlers } from './intake.js';
import type { LaneLimits } from './lanes.js';
import type { Token } from './lifeline.js';
import type { OutboxLimits } from './outbox.js';
import { type ChatStorage, readResumePoint } from './persistence.js';

export interface ClientOptions extends Handlers {
  /** The gateway's `/ws`: `wss://chat.example/ws`. In a browser it may be relative to the page. */
  url: string | { href: string };
  /** The access token, or what gives a fresh one: asked before each connection. */
  token: Token;
  /** A WebSocket constructor where there is no global one, such as the package `ws` in Node 20. */
  WebSocket?: WebSocketConstructor;
  /** Keeps position and unsent messages over a restart. */
  storage?: ChatStorage;
  /** Prefix of the names in `storage`, one for each user and client; `chatcluster` when not given. */
  storageKey?: string;
  /** Where to go on from, such as an earlier client's `resumePoint()`, or `lastSeq` of the REST list; wins over `storage`. */
  resumeFrom?: ResumePoint;
  /** Longest content of a message, in bytes of UTF-8; as the gateway's `--max-content`, 64 KiB. */
  maxContentBytes?: number;
  /** What may wait to be sent: 1,000 messages with 4 Mi characters. */
  outboxLimits?: Partial<OutboxLimits>;
  /** What may wait for the application's handler: 10,000 events with 16 Mi characters; a tenth and a quarter for one conversation. */
  intakeLimits?: Partial<LaneLimits>;
  /** Ceilings of the pauses between attempts: 400 ms, doubled up to 20 s. */
  backoff?: Partial<BackoffOptions>;
  /** Time, for tests. */
  clock?: Clock;
  /** Chance in [0, 1), for tests. */
  random?: () => number;
}

export interface Settings {
  handlers: Handlers;
  url: string;
  token: Token;
  WebSocket: WebSocketConstructor;
  storage: ChatStorage | undefined;
  storageKey: string;
  resumeFrom: ResumePoint;
  maxContentBytes: number;
  outboxLimits: OutboxLimits;
  intakeLimits: LaneLimits;
  backoff: BackoffOptions;
  clock: Clock;
  random: () => number;
}

/** Throws a TypeError that names the option. */
export function settingsOf(options: ClientOptions): Settings {
  const { onEvent, onMissed, token, resumeFrom = { seqs: {} } } = options;
  if (typeof onEvent !== 'function') throw new TypeError('onEvent must be a function');
  if (typeof onMissed !== 'function') throw new TypeError('onMissed must be a function');
  if (typeof token !== 'function' && (typeof token !== 'string' || token === '')) {
    throw new TypeError('token must be a text or a function that gives one');
  }
  const socket = options.WebSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
  if (socket === undefined) throw new TypeError('there is no global WebSocket here: give one as the option WebSocket');
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

function urlOf(given: string | { href: string }): string {
  const page = (globalThis as { location?: { href: string } }).location?.href;
  let url: URL;
  try {
    url = new URL(typeof given === 'string' ? given : given.href, page);
  } catch {
    throw new TypeError(`url is not one: ${JSON.stringify(given)}`);
  }
  url.protocol = url.protocol.replace(/^http/u, 'ws');
  url.hash = '';
  if (url.protocol !== 'ws:' && url.protocol !== 'wss:') throw new TypeError(`url must be ws or wss, not ${url.protocol}`);
  return url.href;
}

function limits<Limits extends object>(name: string, defaults: Limits, given: Partial<Limits> = {}): Limits {
  const merged = { ...defaults, ...given };
  for (const [key, value] of Object.entries(merged)) limit(`${name}.${key}`, value);
  return merged;
}

function limit(name: string, value: unknown): number {
  if (typeof value !== 'number' || !(value > 0)) throw new TypeError(`${name} must be a number above 0`);
  return value;
}
