// Keeps one connection alive: a token, a socket, a pause, and again.

import { type BackoffOptions, Reconnecting } from './backoff.js';
import { type Clock, Timers } from './clock.js';
import { Connection, type ConnectionEnd, type WebSocketConstructor } from './connection.js';
import type { ResumePoint } from './cursors.js';
import { ChatError } from './errors.js';
import type { ClientFrame, Connected, ServerFrame } from './frames.js';

/**
 * `connecting`: an attempt is being made. `connected`: messages flow. `offline`: the last attempt or connection ended,
 * the next comes by itself. `closed`: for good.
 */
export type State = 'connecting' | 'connected' | 'offline' | 'closed';

export interface StateChange {
  state: State;
  /** Of `offline`: when the next attempt is made. */
  retryInMs?: number;
  /** Of `offline`: how the last connection ended; `code` 0 where it never opened or broke off. */
  ended?: { code: number; reason: string };
  /** Of `closed`: why, where nobody asked for it. */
  error?: ChatError;
}

/** `refused`: the last token was refused or has expired, so that a kept one will not do. */
export type Token = string | ((context: { refused: boolean }) => string | PromiseLike<string>);

interface Parts {
  WebSocket: WebSocketConstructor;
  url: string;
  token: Token;
  backoff: BackoffOptions;
  clock: Clock;
  random: () => number;
  /** Where the next connection is to go on from. */
  resume: () => ResumePoint;
  onState: (change: StateChange) => void;
  onConnected: (frame: Connected) => void;
  onDisconnected: (code: number) => void;
  onFrame: (frame: ServerFrame) => void;
  /** The token function failed; it is asked again. */
  onTrouble: (error: ChatError) => void;
  /** It is over for good, and nobody asked for it. */
  onStopped: (error: ChatError) => void;
}

/** A connection that lived this long ends a series of failures. */
const STABLE_MS = 5_000;
/** For the token function to answer. */
const TOKEN_MS = 30_000;

export class Lifeline {
  readonly #parts: Parts;
  readonly #timers: Timers;
  readonly #reconnecting: Reconnecting;
  #connection: Connection | undefined;
  #attempt: object | undefined;
  #renewToken = false;
  #state: State = 'offline';

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#timers = new Timers(parts.clock);
    const canRenewToken = typeof parts.token === 'function';
    this.#reconnecting = new Reconnecting({ ...parts.backoff, random: parts.random, canRenewToken });
  }

  get state(): State {
    return this.#state;
  }

  start(): void {
    if (this.#state === 'closed' || this.#attempt || this.#connection) return;
    void this.#connect();
  }

  /** False: there is no session to write it to. */
  send(frame: ClientFrame): boolean {
    return this.#connection?.send(frame) ?? false;
  }

  /** A fresh connection instead of this one, at once. */
  recycle(): void {
    if (this.#state !== 'connected') return;
    this.#drop(0);
    void this.#connect();
  }

  /** Something may have changed: try now rather than when the pause is over, and look whether the server is there. */
  wake(): void {
    if (this.#state === 'connected') this.probe();
    else if (this.#timers.has('retry')) void this.#connect();
  }

  /** Finds out soon whether the connection is one. */
  probe(): void {
    this.#connection?.probe();
  }

  stop(error?: ChatError): void {
    if (this.#state === 'closed') return;
    this.#drop(0);
    this.#become({ state: 'closed', ...(error && { error }) });
  }

  async #connect(): Promise<void> {
    this.#timers.clearAll();
    const attempt = {};
    this.#attempt = attempt;
    this.#become({ state: 'connecting' });
    if (this.#attempt !== attempt) return;
    let token: string;
    try {
      token = await this.#token();
    } catch (thrown) {
      if (this.#attempt !== attempt) return;
      this.#timers.clear('token');
      const message = `no token: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
      this.#parts.onTrouble(new ChatError('token_unavailable', message, { cause: thrown }));
      if (this.#attempt === attempt) this.#ended({ code: 0, reason: message, connectedMs: 0 });
      return;
    }
    if (this.#attempt !== attempt) return;
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
    } catch (thrown) {
      this.#ended({ code: 0, reason: `no socket: ${String(thrown)}`, connectedMs: 0 });
    }
  }

  async #token(): Promise<string> {
    const { token } = this.#parts;
    if (typeof token === 'string') return token;
    const late = new Promise<never>((_, reject) => {
      this.#timers.set('token', TOKEN_MS, () => reject(new Error(`no answer within ${TOKEN_MS / 1000} s`)));
    });
    const fresh = await Promise.race([token({ refused: this.#renewToken }), late]);
    if (typeof fresh !== 'string' || fresh === '') throw new TypeError('the token function gave no text');
    return fresh;
  }

  #connected(frame: Connected): void {
    this.#reconnecting.connected();
    this.#become({ state: 'connected' });
    if (this.#state === 'connected') this.#parts.onConnected(frame);
  }

  #ended({ code, reason, connectedMs, refusal }: ConnectionEnd): void {
    this.#drop(code);
    if (this.#state === 'closed') return;
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
  #drop(code: number): void {
    this.#timers.clearAll();
    this.#attempt = undefined;
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.drop();
    if (this.#state === 'connected') this.#parts.onDisconnected(code);
  }

  #become(change: StateChange): void {
    if (change.state === this.#state && change.state !== 'offline') return;
    this.#state = change.state;
    this.#parts.onState(change);
  }
}
