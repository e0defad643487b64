// The small things beside the messages: how far the person read, and who is typing.

const TYPING_IDLE_MS = 5_000;
/** A typing sign that is not renewed fades. */
const TYPING_FORGET_MS = 7_000;

export class Signals {
  /** `client()` is null until there is one. */
  constructor({ store, client, timers }) {
    this.store = store;
    this.client = client;
    this.timers = timers;
  }

  /** What the list brought instead of the client counts as delivered too. */
  listed() {
    for (const { id, unread, position } of this.store.conversations.values()) {
      if (unread > 0) this.client()?.advance(id, position);
    }
  }

  read(id, seq) {
    this.client()?.read(id, seq);
  }

  /** The person is writing, or stopped. */
  typed(id, isTyping) {
    const idle = `idle ${id}`;
    if (isTyping) this.timers.set(idle, TYPING_IDLE_MS, () => this.typed(id, false));
    else this.timers.clear(idle);
    this.client()?.typing(id, isTyping);
  }

  /** Somebody else is. */
  heardTyping({ conversationId, userId, isTyping }) {
    this.store.setTyping(conversationId, userId, isTyping);
    const fade = `typing ${conversationId} ${userId}`;
    if (isTyping) this.timers.set(fade, TYPING_FORGET_MS, () => this.store.setTyping(conversationId, userId, false));
    else this.timers.clear(fade);
  }
}
