// What comes in of conversations: told apart from repeats, kept in order, handed to the application, acknowledged once
// the application is done with it.

import { type Clock } from './clock.js';
import { Cursors } from './cursors.js';
import { ChatError } from './errors.js';
import type { ConversationEvent, MissedRange, Resync } from './frames.js';
import { type LaneLimits, Lanes } from './lanes.js';
import type { Receipts } from './receipts.js';

export interface Handlers {
  /** Gets each event of a conversation once, in order; the next one of the conversation waits until it is done. */
  onEvent: (event: ConversationEvent) => void | PromiseLike<void>;
  /** Gets, in its place between the events, each range that is not handed out. */
  onMissed: (range: MissedRange) => void | PromiseLike<void>;
}

type Item = { event: ConversationEvent } | { missed: MissedRange };

interface Parts {
  handlers: Handlers;
  receipts: Receipts;
  limits: LaneLimits;
  clock: Clock;
  random: () => number;
  /** Is it a room that the user only visits? Nobody asks how far a visitor is. */
  isVisited: (conversationId: string) => boolean;
  /** Connect again: the server is to send what is not here. */
  onWanting: () => void;
  onMoved: () => void;
  onTrouble: (error: ChatError) => void;
}

/** What a queued event costs besides its content, in characters. */
const OVERHEAD = 300;

export class Intake {
  readonly cursors = new Cursors();
  readonly #parts: Parts;
  readonly #lanes: Lanes<Item>;
  #userId: string | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#lanes = new Lanes<Item>({
      limits: parts.limits,
      clock: parts.clock,
      random: parts.random,
      handle: (item) => this.#handle(item),
      onHandled: (_, item) => this.#handled(item),
      onFailure: (conversationId, item, thrown, failures) => this.#failed(conversationId, item, thrown, failures),
      onRoom: parts.onWanting,
    });
  }

  connected(userId: string): void {
    this.#userId = userId;
    this.#lanes.caughtUp();
  }

  event(event: ConversationEvent): void {
    const { conversationId } = event;
    if (this.cursors.isRepeat(event)) return;
    if (!this.#lanes.hasRoom(conversationId)) {
      this.cursors.refuse(conversationId, event.seq);
      return;
    }
    const verdict = this.cursors.offer(event, this.#userId);
    if (verdict.kind === 'hole') this.#parts.onWanting();
    if (verdict.kind !== 'due') return;
    if (verdict.missed) this.#lanes.push(conversationId, { missed: verdict.missed }, OVERHEAD);
    this.#lanes.push(conversationId, { event }, sizeOf(event));
  }

  resync(frame: Resync): void {
    const { conversationId } = frame;
    if (!this.#lanes.hasRoom(conversationId)) {
      this.cursors.refuse(conversationId, frame.from);
      return;
    }
    const missed = this.cursors.resync(frame);
    if (missed) this.#lanes.push(conversationId, { missed }, OVERHEAD);
  }

  position(position: string): void {
    this.cursors.position = position;
    this.#parts.onMoved();
  }

  /** The application has everything up to `seq` from elsewhere. */
  advance(conversationId: string, seq: number): void {
    this.cursors.advance(conversationId, seq);
    this.#parts.receipts.delivered(conversationId, seq);
    this.#parts.onMoved();
  }

  /** Another user's places are nobody's business. */
  clear(): void {
    this.cursors.clear();
    this.#lanes.clear();
    this.#parts.receipts.clear();
  }

  /** Resolves when the handlers that run have finished. */
  stop(): Promise<void> {
    return this.#lanes.stop();
  }

  /** Handlers that still run do not count any more. */
  abandon(): void {
    this.#lanes.clear();
  }

  #handle(item: Item): void | PromiseLike<void> {
    if ('missed' in item) return this.#parts.handlers.onMissed(item.missed);
    // `advance` went past it while it waited
    if (item.event.seq <= this.cursors.handled(item.event.conversationId)) return undefined;
    return this.#parts.handlers.onEvent(item.event);
  }

  #handled(item: Item): void {
    const [conversationId, seq] =
      'missed' in item ? [item.missed.conversationId, item.missed.to] : [item.event.conversationId, item.event.seq];
    this.cursors.finished(conversationId, seq);
    if (this.cursors.hasLeft(conversationId)) this.#parts.receipts.forget(conversationId);
    else if (!this.#parts.isVisited(conversationId)) this.#parts.receipts.delivered(conversationId, seq);
    this.#parts.onMoved();
  }

  #failed(conversationId: string, item: Item, thrown: unknown, failures: number): void {
    const what = 'missed' in item ? `events ${item.missed.from} to ${item.missed.to}` : `event ${item.event.seq}`;
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    const message = `the handler failed at ${what} of ${conversationId} (${failures} times so far): ${reason}`;
    this.#parts.onTrouble(new ChatError('handler_failed', message, { conversationId, cause: thrown }));
  }
}

function sizeOf(event: ConversationEvent): number {
  return OVERHEAD + ('content' in event && typeof event.content === 'string' ? event.content.length : 0);
}
