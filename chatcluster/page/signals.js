// The small frames beside the messages: how far the person received and read, and who is typing.

const RECEIPT_MS = 300;
const TYPING_REPEAT_MS = 3_000;
const TYPING_IDLE_MS = 5_000;
/** A typing sign that is not renewed fades. */
const TYPING_FORGET_MS = 7_000;

export class Signals {
  #receipts = new Map();
  #typingSince = new Map();

  constructor({ store, connection, timers, now = Date.now }) {
    this.store = store;
    this.connection = connection;
    this.timers = timers;
    this.now = now;
  }

  /** The watermarks of a conversation moved: the server hears of it soon, once for many moves. */
  moved(conversation) {
    this.#receipts.set(conversation.id, conversation);
    if (!this.timers.has('receipts')) this.timers.set('receipts', RECEIPT_MS, () => this.#flush());
  }

  connected() {
    for (const conversation of this.store.conversations.values()) {
      if (conversation.unread > 0) this.moved(conversation);
    }
    this.#flush();
  }

  #flush() {
    for (const [id, { sequence, readSeq }] of this.#receipts) {
      const frame = { type: 'RECEIPT', conversationId: id, deliveredSeq: sequence.position };
      if (readSeq > 0) frame.readSeq = Math.min(readSeq, sequence.position);
      // what cannot be sent now waits for the next connection
      if (sequence.position > 0 && this.store.get(id) && !this.connection.send(frame)) return;
      this.#receipts.delete(id);
    }
  }

  /** The person is writing (or stopped); told to the others now and then, not with every key. */
  typed(id, isTyping) {
    const idle = `idle ${id}`;
    const since = this.#typingSince.get(id);
    if (!isTyping) {
      this.timers.clear(idle);
      if (since === undefined) return;
      this.#typingSince.delete(id);
      this.connection.send({ type: 'TYPING', conversationId: id, isTyping: false });
      return;
    }
    this.timers.set(idle, TYPING_IDLE_MS, () => this.typed(id, false));
    if (since !== undefined && this.now() - since < TYPING_REPEAT_MS) return;
    if (this.connection.send({ type: 'TYPING', conversationId: id, isTyping: true })) {
      this.#typingSince.set(id, this.now());
    }
  }

  /** Somebody else is. */
  heardTyping({ conversationId, userId, isTyping }) {
    this.store.setTyping(conversationId, userId, isTyping);
    const fade = `typing ${conversationId} ${userId}`;
    if (isTyping) this.timers.set(fade, TYPING_FORGET_MS, () => this.store.setTyping(conversationId, userId, false));
    else this.timers.clear(fade);
  }
}
