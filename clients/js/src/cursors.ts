// Where the client stands in each conversation: what is new, what is a repeat, what is missing. Pure.

import type { ConversationEvent, MissedRange, Resync } from './frames.js';

/** Where to go on from. */
export interface ResumePoint {
  /** The last seq of each conversation that something was received of. */
  seqs: Record<string, number>;
  /** What the server said last about all of them; `seqs` goes before it. */
  position?: string;
}


interface Cursor {
  /** Everything up to here was taken in, or is known never to come. */
  received: number;
  /** The application is done with everything up to here. */
  handled: number;
  /** The user's own leaving was the last event: what comes next may start anywhere. */
  left: boolean;
  /** A hole that starts here was asked for once more already. */
  askedFor: number;
}

/**
 * `due`: hand it out, after telling of the `missed` range where there is one. `repeat`: it was there before.
 * `hole`: events before it are missing; connecting again makes the server send them.
 */
export type Verdict = { kind: 'due'; missed?: MissedRange } | { kind: 'repeat' } | { kind: 'hole' };

/** Bytes of a resume point, half of them for the position: well within the 256 KiB that a gateway accepts as one frame. */
const RESUME_BYTES = 200 * 1024;

export class Cursors {
  /** The one that moved last is the last one. */
  readonly #cursors = new Map<string, Cursor>();
  readonly #limit: number;
  /** Said after everything that was received before it: what it says of conversations without a cursor is true. */
  position: string | undefined;

  constructor(limit = 10_000) {
    this.#limit = limit;
  }

  handled(conversationId: string): number {
    return this.#cursors.get(conversationId)?.handled ?? 0;
  }

  received(conversationId: string): number | undefined {
    return this.#cursors.get(conversationId)?.received;
  }

  /** Whatever comes next may start anywhere. */
  forget(conversationId: string): void {
    this.#cursors.delete(conversationId);
  }

  isRepeat({ conversationId, seq }: ConversationEvent): boolean {
    const cursor = this.#cursors.get(conversationId);
    return cursor !== undefined && seq <= cursor.received;
  }

  offer(event: ConversationEvent, userId: string | undefined): Verdict {
    const { conversationId, seq } = event;
    const cursor = this.#cursors.get(conversationId) ?? this.#start(conversationId, seq - 1);
    const { received } = cursor;
    if (seq <= received) return { kind: 'repeat' };
    const isOwn = 'userId' in event && event.userId === userId;
    const joinsAgain = event.type === 'USER_JOINED' && isOwn;
    const isHole = seq > received + 1 && !(cursor.left && joinsAgain);
    // what was before one's own joining is not sent, however often it is asked for
    if (isHole && !joinsAgain && cursor.askedFor !== received + 1) {
      cursor.askedFor = received + 1;
      return { kind: 'hole' };
    }
    this.#move(conversationId, cursor, seq);
    cursor.left = event.type === 'USER_LEFT' && isOwn;
    return isHole ? { kind: 'due', missed: { conversationId, from: received + 1, to: seq - 1 } } : { kind: 'due' };
  }

  /** The server will not send a range; what of it is news. */
  resync({ conversationId, from, head }: Resync): MissedRange | undefined {
    const cursor = this.#cursors.get(conversationId) ?? this.#start(conversationId, from - 1);
    if (head <= cursor.received) return undefined;
    const missed = { conversationId, from: cursor.received + 1, to: head };
    this.#move(conversationId, cursor, head);
    return missed;
  }

  /** There is no room for what starts at `seq` now: the next connection is to bring it again. */
  refuse(conversationId: string, seq: number): void {
    if (!this.#cursors.has(conversationId)) this.#start(conversationId, seq - 1);
  }

  /** The application is done with everything up to `seq`. */
  finished(conversationId: string, seq: number): void {
    const cursor = this.#cursors.get(conversationId);
    if (cursor) cursor.handled = Math.max(cursor.handled, seq);
  }

  /** Nothing up to `seq` is wanted (any more). */
  advance(conversationId: string, seq: number): void {
    const cursor = this.#cursors.get(conversationId) ?? this.#start(conversationId, seq);
    if (seq > cursor.received) this.#move(conversationId, cursor, seq);
    cursor.handled = Math.max(cursor.handled, seq);
  }

  /** An earlier start was done with everything up to `seq`. */
  place(conversationId: string, seq: number): void {
    this.#cursors.delete(conversationId);
    this.#start(conversationId, seq);
  }

  hasLeft(conversationId: string): boolean {
    return this.#cursors.get(conversationId)?.left ?? false;
  }

  clear(): void {
    this.#cursors.clear();
    this.position = undefined;
  }

  /**
   * Where a new connection is to go on from. Of a user with thousands of conversations those that moved last: the server
   * goes on with the others from what was acknowledged.
   */
  resume(): ResumePoint {
    const entries: [string, number][] = [];
    const position = this.position !== undefined && this.position.length <= RESUME_BYTES / 2 ? this.position : undefined;
    let bytes = position?.length ?? 0;
    for (const [conversationId, { received, left }] of [...this.#cursors].reverse()) {
      if (left) continue;
      bytes += conversationId.length + 22;
      if (bytes > RESUME_BYTES) break;
      entries.push([conversationId, received]);
    }
    return pointOf(entries, position);
  }

  /** What the application is done with: where another start is to go on from. */
  done(): ResumePoint {
    const kept = [...this.#cursors].filter(([, { left, handled, received }]) => !(left && handled === received));
    return pointOf(
      kept.map(([conversationId, { handled }]) => [conversationId, handled]),
      this.position,
    );
  }

  #start(conversationId: string, seq: number): Cursor {
    const cursor = { received: seq, handled: seq, left: false, askedFor: 0 };
    this.#cursors.set(conversationId, cursor);
    if (this.#cursors.size > this.#limit) this.#forgetOne();
    return cursor;
  }

  #move(conversationId: string, cursor: Cursor, seq: number): void {
    cursor.received = seq;
    cursor.left = false;
    cursor.askedFor = 0;
    this.#cursors.delete(conversationId);
    this.#cursors.set(conversationId, cursor);
  }

  /** The one that was quiet longest and has nothing waiting. */
  #forgetOne(): void {
    for (const [conversationId, { handled, received }] of this.#cursors) {
      if (handled !== received) continue;
      this.#cursors.delete(conversationId);
      return;
    }
  }
}

function pointOf(seqs: [string, number][], position: string | undefined): ResumePoint {
  return { seqs: Object.fromEntries(seqs), ...(position !== undefined && { position }) };
}
