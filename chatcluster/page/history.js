// Reads the log by REST: what is missing before events that came too early, and older pages.

import { ApiError } from './api.js';
import { backoff } from './connection.js';

export const PAGE = 50;
/** A hole up to this long is fetched event by event; a longer one starts the timeline anew. */
const FILL_LIMIT = 500;
const FILL_PAGE = 200;
const FILL_ATTEMPTS = 8;

export class History {
  #filling = new Set();
  #paging = new Map();

  /** `onEvents(conversation, events)` gets what became due; `onSkipped(conversation)` hears of a timeline begun anew. */
  constructor({ api, store, timers, onEvents, onSkipped }) {
    this.api = api;
    this.store = store;
    this.timers = timers;
    this.onEvents = onEvents;
    this.onSkipped = onSkipped;
  }

  /** Fetches until nothing is missing. One loop a conversation; failures are tried again, later and later. */
  async fill(id, attempt = 0) {
    if (this.#filling.has(id)) return;
    this.#filling.add(id);
    let again = false;
    try {
      while (this.store.get(id)?.sequence.hasGap && !again) again = !(await this.#fillPage(this.store.get(id)));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      again = error.isOffline || error.status === 429;
    } finally {
      this.#filling.delete(id);
    }
    if (!again || attempt >= FILL_ATTEMPTS) return;
    this.timers.set(`fill ${id}`, backoff(attempt + 1), () => this.fill(id, attempt + 1));
  }

  /** True when the page brought the conversation further. */
  async #fillPage(conversation) {
    const { id, sequence } = conversation;
    const events = await this.api.events(id, { after: sequence.position, limit: FILL_PAGE });
    if (this.store.get(id) !== conversation) return true;
    const before = sequence.position;
    // what the log no longer holds, or never held for this reader, will not come
    if (events.length > 0 && events[0].seq > before + 1) this.#skip(conversation, events[0].seq - 1);
    for (const event of events) this.onEvents(conversation, this.store.offer(event));
    return sequence.position > before;
  }

  /** RESYNC: the server will not send `from..=head`. */
  resync(conversation, head) {
    if (head - conversation.sequence.position <= FILL_LIMIT) {
      conversation.sequence.note(head);
      this.fill(conversation.id);
    } else {
      this.#skip(conversation, head);
    }
  }

  #skip(conversation, seq) {
    this.onEvents(conversation, this.store.skipTo(conversation, seq));
    this.onSkipped(conversation);
  }

  /** One page upwards; calls while one is on its way share it. */
  loadOlder(id) {
    const conversation = this.store.get(id);
    if (!conversation || conversation.isComplete) return Promise.resolve();
    if (!this.#paging.has(id)) {
      this.#paging.set(id, this.#page(conversation).finally(() => this.#paging.delete(id)));
    }
    return this.#paging.get(id);
  }

  async #page(conversation) {
    const { id, floor } = conversation;
    const messages = await this.api.messages(id, { before: floor, limit: PAGE });
    const isComplete = messages.length < PAGE;
    const lowest = isComplete ? 1 : messages[0].seq;
    const events = await this.#eventsBetween(id, lowest, floor - 1, messages.length);
    // a skip while the page was on its way made it a page of another timeline
    if (conversation.floor !== floor) return;
    this.store.addHistory(conversation, { messages, events, floor: lowest, isComplete });
  }

  /** Joins and leaves between the messages of a page; where every seq is a message there is nothing to ask. */
  async #eventsBetween(id, first, last, messages) {
    const span = last - first + 1;
    if (span <= messages) return [];
    try {
      const events = await this.api.events(id, { after: first - 1, limit: Math.min(FILL_PAGE, span) });
      return events.filter(({ type, seq }) => seq <= last && (type === 'USER_JOINED' || type === 'USER_LEFT'));
    } catch (error) {
      if (error instanceof ApiError) return [];
      throw error;
    }
  }
}
