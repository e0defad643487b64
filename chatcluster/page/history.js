// Reads the log by REST: what was missed and is not handed out any more, and older pages.

import { ApiError } from './api.js';

export const PAGE = 50;
/** A hole up to this long is fetched event by event; a longer one starts the timeline anew. */
const FILL_LIMIT = 500;
const FILL_PAGE = 200;

export class History {
  #paging = new Map();

  /** `onEvent(conversation, event)` gets what was missed; `onSkipped(conversation)` hears of a timeline begun anew. */
  constructor({ api, store, onEvent, onSkipped }) {
    this.api = api;
    this.store = store;
    this.onEvent = onEvent;
    this.onSkipped = onSkipped;
  }

  /** The client will not hand out what is up to `to`: read it here, or begin anew where that is too much. */
  async missed(conversation, to) {
    if (to - conversation.position > FILL_LIMIT) this.#skip(conversation, to);
    while (this.store.get(conversation.id) === conversation && conversation.position < to) {
      const events = await this.api.events(conversation.id, { after: conversation.position, limit: FILL_PAGE });
      const first = events.find(({ seq }) => seq > conversation.position)?.seq;
      // what the log no longer holds, or never held for this reader, will not come
      if (first === undefined || first > to) this.#skip(conversation, to);
      else if (first > conversation.position + 1) this.#skip(conversation, first - 1);
      for (const event of events) if (event.seq <= to) this.onEvent(conversation, event);
    }
  }

  #skip(conversation, seq) {
    this.store.skipTo(conversation, seq);
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
