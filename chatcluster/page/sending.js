// Gets what is in the outbox to the client, which gets it to the server, and writes down what became of it.

import { sentence } from './text.js';

export class Sending {
  /** `client()` is null until there is one. */
  constructor({ store, outbox, client }) {
    this.store = store;
    this.outbox = outbox;
    this.client = client;
  }

  /** What an earlier visit left over, in the order it was typed. */
  start() {
    for (const item of this.outbox.pending()) this.#transmit(item);
  }

  send(conversationId, content) {
    const item = this.outbox.add(conversationId, content);
    this.#show(item);
    this.#transmit(item);
  }

  retry(clientMsgId) {
    const item = this.outbox.get(clientMsgId);
    if (!item) return;
    this.outbox.retry(clientMsgId);
    this.#show(item);
    this.#transmit(item);
  }

  discard(clientMsgId) {
    const item = this.outbox.get(clientMsgId);
    if (!item) return;
    this.outbox.remove(clientMsgId);
    this.client()?.cancel(clientMsgId);
    this.#show(item);
  }

  /** The message is in the log. */
  stored(clientMsgId) {
    this.outbox.remove(clientMsgId);
  }

  async #transmit(item) {
    const { clientMsgId, conversationId, content } = item;
    try {
      const sent = await this.client()?.send(conversationId, content, { clientMsgId });
      if (sent) this.#acknowledged(item, sent);
    } catch (error) {
      // kept for the next visit
      if (error.code === 'closed' || this.client().state === 'closed') return;
      this.outbox.failed(clientMsgId, sentence(error.message));
      this.#show(item);
    }
  }

  #acknowledged(item, { messageId, seq }) {
    const conversation = this.store.get(item.conversationId);
    // the MESSAGE came first, or its place in the log was skipped
    if (conversation && seq <= conversation.position) this.outbox.remove(item.clientMsgId);
    else this.outbox.acknowledged(item.clientMsgId, { messageId, seq });
    this.#show(item);
  }

  #show({ conversationId }) {
    this.store.changed(conversationId);
    this.store.changed();
  }
}
