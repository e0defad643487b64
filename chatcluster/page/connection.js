// The native WebSocket: CONNECT and resume, heartbeat, reconnect. What the frames mean is the session's affair.

import { Timers, systemClock } from './timers.js';

const BACKOFF_BASE_MS = 400;
const BACKOFF_CAP_MS = 20_000;
const HANDSHAKE_MS = 10_000;
/** How long an answer to PING may take. */
const PONG_MS = 10_000;
/** A connection that lived this long ends the series of failures. */
const STABLE_MS = 5_000;
/** Failed attempts after which the page says "offline" rather than "reconnecting". */
const OFFLINE_AFTER = 3;

/** Close codes of the gateway that this client treats apart. */
export const CLOSE = { tryAgainLater: 1013, unauthenticated: 4401, tokenExpired: 4410, tokenRevoked: 4411, tooMany: 4430 };

/** Full jitter: anywhere between nothing and the doubled-up ceiling, so that a restart is not answered by a stampede. */
export function backoff(attempt, random = Math.random) {
  return random() * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** attempt);
}

/**
 * `token({force})` answers an access token; `resume()` the last seq per conversation; `onFrame(frame)` gets every frame
 * but PONG and POSITION; `onState(state)` gets `connecting`, `connected`, `reconnecting`, `offline` or `stopped`;
 * `onRefused()` is called when fresh tokens are refused again and again.
 */
export class Connection {
  #options;
  #clock;
  #socket = null;
  #timers;
  #failures = 0;
  #refusals = 0;
  #connectedAt = null;
  #wantsNewToken = false;
  #running = false;
  state = 'stopped';

  constructor({ clock = systemClock, random = Math.random, isOnline = () => true, ...options }) {
    this.#options = { random, isOnline, ...options };
    this.#clock = clock;
    this.#timers = new Timers(clock);
  }

  start() {
    if (this.#running) return;
    this.#running = true;
    this.#connect();
  }

  stop() {
    this.#running = false;
    this.#drop();
    this.#become('stopped');
  }

  /** Writes a frame; false when there is no connection to write it to. */
  send(frame) {
    if (this.state !== 'connected') return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  /** The network came back, or the page was woken: try now rather than when the pause is over. */
  wake() {
    if (!this.#running) return;
    if (this.state === 'connected') this.#ping();
    else if (this.#timers.has('retry')) this.#connect();
  }

  /** The network went away. */
  lost() {
    if (this.#running && this.state !== 'connected') this.#become('offline');
    else if (this.#running) this.#ping();
  }

  async #connect() {
    this.#timers.clear('retry');
    if (this.state !== 'offline') this.#become(this.state === 'stopped' ? 'connecting' : this.state);
    const { token, open } = this.#options;
    const attempt = {};
    this.#socket = attempt;
    let accessToken;
    try {
      accessToken = await token({ force: this.#wantsNewToken });
      this.#wantsNewToken = false;
    } catch {
      if (this.#socket === attempt) this.#ended(null);
      return;
    }
    if (this.#socket !== attempt) return;
    const socket = open();
    this.#socket = socket;
    this.#timers.set('handshake', HANDSHAKE_MS, () => this.#ended(null));
    socket.onopen = () => {
      const resume = this.#options.resume();
      socket.send(JSON.stringify({ type: 'CONNECT', token: accessToken, resume }));
    };
    socket.onmessage = ({ data }) => this.#socket === socket && this.#receive(data);
    socket.onclose = ({ code }) => this.#socket === socket && this.#ended(code);
  }

  #receive(data) {
    this.#timers.clear('pong');
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return;
    }
    if (frame.type === 'CONNECTED') {
      this.#timers.clear('handshake');
      this.#connectedAt = this.#clock.now();
      this.#refusals = 0;
      this.#beat(Math.max(1000, Math.min(frame.heartbeatMs || 25_000, 25_000) * 0.6));
      this.#become('connected');
    }
    // POSITION is for clients that do not count: this one hands back its own seqs
    if (frame.type !== 'PONG' && frame.type !== 'POSITION') this.#options.onFrame(frame);
  }

  #beat(interval) {
    this.#timers.set('beat', interval, () => {
      this.#ping();
      this.#beat(interval);
    });
  }

  #ping() {
    if (!this.send({ type: 'PING' }) || this.#timers.has('pong')) return;
    this.#timers.set('pong', PONG_MS, () => this.#ended(null));
  }

  /** The attempt or connection is over; `code` is null where this side gave up. */
  #ended(code) {
    this.#drop();
    if (!this.#running) return;
    const wasStable = this.#connectedAt !== null && this.#clock.now() - this.#connectedAt >= STABLE_MS;
    this.#connectedAt = null;
    this.#failures = wasStable ? 0 : this.#failures + 1;

    const expired = code === CLOSE.tokenExpired;
    const refused = code === CLOSE.unauthenticated || code === CLOSE.tokenRevoked;
    if (refused && ++this.#refusals > 2) {
      this.stop();
      this.#options.onRefused();
      return;
    }
    this.#wantsNewToken ||= expired || refused;
    if (code === CLOSE.tryAgainLater || code === CLOSE.tooMany) this.#failures = Math.max(this.#failures, 4);

    const isOffline = this.#failures >= OFFLINE_AFTER || !this.#options.isOnline();
    this.#become(isOffline ? 'offline' : 'reconnecting');
    const pause = expired && this.#failures <= 1 ? 0 : backoff(this.#failures, this.#options.random);
    this.#timers.set('retry', pause, () => this.#connect());
  }

  #drop() {
    this.#timers.clearAll();
    const socket = this.#socket;
    this.#socket = null;
    socket?.close?.();
  }

  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.#options.onState(state);
  }
}
