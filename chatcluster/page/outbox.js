// Messages that were typed but are not yet in the log. Each keeps its clientMsgId over every retry and reload, so the
// server stores it once however often it is sent.

const KEY = 'chatcluster.outbox';
const LIMIT = 500;

/** `state` of an item: `pending` (to be sent, or sent and unanswered), `sent` (acknowledged), `failed`. */
export class Outbox {
  #items = new Map();
  #storage;
  #owner;

  /** Items of another `owner` (user id) left in the storage are dropped. */
  constructor({ storage, owner, newId = randomId, now = Date.now }) {
    this.#storage = storage;
    this.#owner = owner;
    this.newId = newId;
    this.now = now;
    this.#load();
  }

  add(conversationId, content) {
    if (this.#items.size >= LIMIT) throw new Error('Too many messages are waiting to be sent.');
    const item = {
      clientMsgId: this.newId(),
      conversationId,
      content,
      createdAt: new Date(this.now()).toISOString(),
      state: 'pending',
    };
    this.#items.set(item.clientMsgId, item);
    this.#save();
    return item;
  }

  get(clientMsgId) {
    return this.#items.get(clientMsgId);
  }

  /** In the order they were typed. */
  of(conversationId) {
    return [...this.#items.values()].filter((item) => item.conversationId === conversationId);
  }

  pending() {
    return [...this.#items.values()].filter((item) => item.state === 'pending');
  }

  acknowledged(clientMsgId, { messageId, seq }) {
    this.#change(clientMsgId, { state: 'sent', messageId, seq, error: undefined });
  }

  failed(clientMsgId, error) {
    if (this.#items.get(clientMsgId)?.state !== 'pending') return;
    this.#change(clientMsgId, { state: 'failed', error });
  }

  retry(clientMsgId) {
    this.#change(clientMsgId, { state: 'pending', error: undefined });
  }

  /** The message is in the log, or is given up. */
  remove(clientMsgId) {
    if (this.#items.delete(clientMsgId)) this.#save();
  }

  /** Acknowledged messages of a conversation whose log was skipped past them. */
  removeUpTo(conversationId, seq) {
    for (const item of this.of(conversationId)) {
      if (item.state === 'sent' && item.seq <= seq) this.remove(item.clientMsgId);
    }
  }

  removeConversation(conversationId) {
    for (const item of this.of(conversationId)) this.remove(item.clientMsgId);
  }

  clear() {
    this.#items.clear();
    this.#storage.removeItem(KEY);
  }

  #change(clientMsgId, change) {
    const item = this.#items.get(clientMsgId);
    if (!item) return;
    Object.assign(item, change);
    this.#save();
  }

  #load() {
    try {
      const { owner, items } = JSON.parse(this.#storage.getItem(KEY) ?? '{}');
      if (owner !== this.#owner) return;
      for (const item of items) {
        // an acknowledged one is in the log, and the log is read anew
        if (item.state !== 'sent') this.#items.set(item.clientMsgId, item);
      }
    } catch {
      this.#storage.removeItem(KEY);
    }
  }

  #save() {
    try {
      this.#storage.setItem(KEY, JSON.stringify({ owner: this.#owner, items: [...this.#items.values()] }));
    } catch {
      // a full storage costs only the survival of a reload
    }
  }
}

/** 128 random bits; crypto.randomUUID is missing on plain http outside localhost. */
function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
