// The rooms the application listens to. The server knows of them as long as a connection lasts; after that they are joined
// again, from where it was.

import { type Clock, Timers } from './clock.js';
import { ChatError } from './errors.js';
import type { ClientFrame, Gap, Joined, Left, Refusal, RoomRecord } from './frames.js';

export interface JoinOptions {
  /** The user is a member of the conversation too, so that what was handled is acknowledged. Visitors have nothing to acknowledge. */
  member?: boolean;
  /** The first event wanted is the one behind this seq; without it what happens from now on. */
  after?: number;
  /** So many of the last records first. */
  history?: number;
  /** The records behind the one of this id first. */
  since?: string;
}

interface Parts {
  clock: Clock;
  transmit: (frame: ClientFrame) => boolean;
  /** The last seq that was received of the room; undefined where nothing was. */
  received: (roomId: string) => number | undefined;
  /** The room begins behind this seq. */
  onBegin: (roomId: string, seq: number) => void;
  /** A visit is over: nothing is to be gone on with. */
  onOver: (roomId: string) => void;
  onGap: (gap: Gap) => void;
}

interface Wish {
  options: JoinOptions;
  /** The last record that came. */
  record: string | undefined;
  /** Of the first JOINED; undefined after it. */
  promise: { resolve: () => void; reject: (error: ChatError) => void } | undefined;
}

/** Refusals that pass. `conflict`: the server is not done with the LEAVE before. */
const PASSING = new Set(['unavailable', 'conflict']);
const AGAIN_MS = 1_000;

export class Rooms {
  readonly #parts: Parts;
  readonly #timers: Timers;
  readonly #wishes = new Map<string, Wish>();
  /** Visits that were given up, and for which the server may still have something on its way. */
  readonly #leaving = new Set<string>();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#timers = new Timers(parts.clock);
  }

  /** Resolves once the room is heard, rejects when it is refused for good. */
  join(roomId: string, options: JoinOptions): Promise<void> {
    if (this.#wishes.has(roomId)) {
      return Promise.reject(new ChatError('conflict', 'the room is joined already', { conversationId: roomId }));
    }
    const joining = new Promise<void>((resolve, reject) => {
      this.#wishes.set(roomId, { options, record: options.since, promise: { resolve, reject } });
    });
    // whoever does not look at it is not to end the process by it
    joining.catch(() => {});
    this.#ask(roomId);
    return joining;
  }

  /** False: it was not joined. */
  leave(roomId: string): boolean {
    const wish = this.#take(roomId);
    if (!wish) return false;
    wish.promise?.reject(new ChatError('cancelled', 'the room was left', { conversationId: roomId }));
    const isTold = this.#parts.transmit({ type: 'LEAVE', roomId });
    if (isTold && !wish.options.member) this.#leaving.add(roomId);
    return true;
  }

  /** Was it left, and the server does not know yet? */
  isLeaving(roomId: string): boolean {
    return this.#leaving.has(roomId) && !this.#wishes.has(roomId);
  }

  /** Does the application listen to it as a visitor? */
  isVisited(roomId: string): boolean {
    const wish = this.#wishes.get(roomId);
    return wish !== undefined && wish.options.member !== true;
  }

  /** A new connection: nobody there knows of any room. */
  connected(): void {
    this.#timers.clearAll();
    this.#leaving.clear();
    for (const roomId of this.#wishes.keys()) this.#ask(roomId);
  }

  joined({ roomId, seq }: Joined): void {
    const wish = this.#wishes.get(roomId);
    if (!wish) return;
    if (this.#parts.received(roomId) === undefined) this.#parts.onBegin(roomId, seq);
    // it was joined before, and nobody can say from which record on it was not heard
    if (!wish.promise && wish.record === undefined) this.#parts.onGap({ type: 'GAP', roomId });
    wish.promise?.resolve();
    wish.promise = undefined;
  }

  /** False: nobody listens there any more. */
  record({ roomId, id }: RoomRecord): boolean {
    const wish = this.#wishes.get(roomId);
    if (wish) wish.record = id ?? wish.record;
    return wish !== undefined;
  }

  gap({ roomId }: Gap): boolean {
    return this.#wishes.has(roomId);
  }

  /** True: the server ended it. Otherwise it is the answer to a LEAVE. */
  left({ roomId }: Left): boolean {
    if (this.#leaving.delete(roomId)) return false;
    return this.#take(roomId) !== undefined;
  }

  /** A refusal that is about a room. Answers what the application is to be told: of a room that it had. */
  refused({ roomId, code, message }: Refusal): Refusal | undefined {
    if (roomId === undefined || !this.#wishes.has(roomId)) return undefined;
    if (PASSING.has(code)) {
      this.#timers.set(roomId, AGAIN_MS, () => this.#ask(roomId));
      return undefined;
    }
    const promise = this.#take(roomId)?.promise;
    promise?.reject(new ChatError(code, message, { conversationId: roomId }));
    return promise ? undefined : { type: 'ERROR', code, message, roomId };
  }

  /** No room is wanted any more. */
  clear(code: string, message: string): void {
    this.#timers.clearAll();
    const wishes = [...this.#wishes];
    this.#wishes.clear();
    this.#leaving.clear();
    for (const [roomId, { promise }] of wishes) {
      promise?.reject(new ChatError(code, message, { conversationId: roomId }));
    }
  }

  #ask(roomId: string): void {
    const wish = this.#wishes.get(roomId);
    if (!wish) return;
    const { history } = wish.options;
    const after = this.#parts.received(roomId) ?? wish.options.after;
    this.#parts.transmit({
      type: 'JOIN',
      roomId,
      ...(after !== undefined && { after }),
      ...(wish.record !== undefined ? { since: wish.record } : history !== undefined && wish.promise && { history }),
    });
  }

  #take(roomId: string): Wish | undefined {
    const wish = this.#wishes.get(roomId);
    this.#timers.clear(roomId);
    this.#wishes.delete(roomId);
    if (wish && !wish.options.member) this.#parts.onOver(roomId);
    return wish;
  }
}
