// Gets the outbox's messages to the server: at once where there is a connection, after the next CONNECTED where there is
// none, and again with the same clientMsgId while there is no answer.

import { backoff } from './connection.js';
import { sentence } from './text.js';

const ACK_MS = 10_000;
const ATTEMPTS = 4;
/** Refusals that say "not now". */
const TRY_AGAIN = new Set(['unavailable', 'rate_limited', 'internal', 'not_connected', 'token_expired']);

export class Sending {
  constructor({ store, outbox, connection, timers }) {
    this.store = store;
    this.outbox = outbox;
    this.connection = connection;
    this.timers = timers;
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
    this.timers.clear(timer(clientMsgId));
    this.outbox.remove(clientMsgId);
    this.#show(item);
  }

  /** A new connection: everything unanswered goes out again, in the order it was typed. */
  connected() {
    for (const item of this.outbox.pending()) this.#transmit(item);
  }

  acknowledged({ clientMsgId, messageId, seq }) {
    this.timers.clear(timer(clientMsgId));
    const item = this.outbox.get(clientMsgId);
    if (!item) return;
    const conversation = this.store.get(item.conversationId);
    // the MESSAGE came first, or its place in the log was skipped
    if (conversation && seq <= conversation.sequence.position) this.outbox.remove(clientMsgId);
    else this.outbox.acknowledged(clientMsgId, { messageId, seq });
    this.#show(item);
  }

  /** The message is in the log. */
  stored(clientMsgId) {
    this.timers.clear(timer(clientMsgId));
    this.outbox.remove(clientMsgId);
  }

  /** An ERROR frame; false when it is about no message of the outbox. */
  refused({ code, message, clientMsgId }) {
    const item = clientMsgId ? this.outbox.get(clientMsgId) : undefined;
    if (!item) return false;
    this.timers.clear(timer(clientMsgId));
    if (TRY_AGAIN.has(code)) {
      const pause = 500 + backoff(item.attempts + 1);
      this.timers.set(timer(clientMsgId), pause, () => this.#again(item, message));
    } else {
      this.#fail(item, message);
    }
    return true;
  }

  #transmit(item) {
    const { clientMsgId, conversationId, content } = item;
    if (!this.connection.send({ type: 'SEND', clientMsgId, conversationId, content })) return;
    item.attempts += 1;
    this.timers.set(timer(clientMsgId), ACK_MS, () => this.#again(item, 'the server did not answer'));
  }

  #again(item, reason) {
    // without a connection the next CONNECTED does it
    if (item.state !== 'pending' || this.connection.state !== 'connected') return;
    if (item.attempts < ATTEMPTS) this.#transmit(item);
    else this.#fail(item, reason);
  }

  #fail(item, reason) {
    this.outbox.failed(item.clientMsgId, sentence(reason));
    this.#show(item);
  }

  #show({ conversationId }) {
    this.store.changed(conversationId);
    this.store.changed();
  }
}

function timer(clientMsgId) {
  return `ack ${clientMsgId}`;
}
