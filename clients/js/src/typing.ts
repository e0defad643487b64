// The user's own typing: passed on now or not at all, and not with every key.

import type { Clock } from './clock.js';
import type { ClientFrame } from './frames.js';

/** `isTyping: true` is said again after this long; receivers let it fade. */
const REPEAT_MS = 3_000;

export class TypingNotices {
  readonly #clock: Clock;
  readonly #transmit: (frame: ClientFrame) => boolean;
  #last: { conversationId: string; repeatAt: number } | undefined;

  constructor({ clock, transmit }: { clock: Clock; transmit: (frame: ClientFrame) => boolean }) {
    this.#clock = clock;
    this.#transmit = transmit;
  }

  /** A new connection: nobody knows of anything. */
  connected(): void {
    this.#last = undefined;
  }

  changed(conversationId: string, isTyping: boolean): void {
    const now = this.#clock.now();
    const last = this.#last?.conversationId === conversationId ? this.#last : undefined;
    if (isTyping ? last && now < last.repeatAt : !last) return;
    this.#last = isTyping ? { conversationId, repeatAt: now + REPEAT_MS } : undefined;
    this.#transmit({ type: 'TYPING', conversationId, isTyping });
  }
}
