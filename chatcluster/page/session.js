// One signed-in person at work: hands what the client hears to the part that understands it, and keeps the list of
// conversations and the people in them. No DOM.

import { ApiError } from './api.js';
import { History, PAGE } from './history.js';
import { Sending } from './sending.js';
import { Signals } from './signals.js';
import { sentence } from './text.js';
import { Timers, backoff } from './timers.js';

const LIST_ATTEMPTS = 8;
const PREVIEWS_AT_ONCE = 4;

export class Session {
  #timers = new Timers();
  #asked = new Set();
  #listing = null;
  #isStopped = false;
  #isPreviewing = false;
  #open;
  client = null;

  /**
   * `open(options)` makes the client; `onState(state)` gets its states; `onMessage(event)` gets every new message of
   * somebody else; `onNotice(text)` tells the person something in passing.
   */
  constructor({ api, store, outbox, open, onState = noop, onMessage = noop, onNotice = noop, onSignedOut = noop }) {
    this.api = api;
    this.store = store;
    this.outbox = outbox;
    this.#open = open;
    this.onState = onState;
    this.onMessage = onMessage;
    this.onNotice = onNotice;
    this.onSignedOut = onSignedOut;
    const parts = { api, store, outbox, client: () => this.client, timers: this.#timers };
    this.sending = new Sending(parts);
    this.signals = new Signals(parts);
    this.history = new History({
      ...parts,
      onEvent: (conversation, event) => this.#apply(conversation, event),
      onSkipped: (conversation) => this.#skipped(conversation),
    });
  }

  /** The list comes first, so that the client knows where to go on from. */
  async start() {
    try {
      await this.loadList();
    } catch (error) {
      // once connected it is asked for again
      if (!(error instanceof ApiError)) throw error;
    }
    if (this.#isStopped) return;
    this.client = this.#listen(
      this.#open({
        token: ({ refused }) => this.api.token({ force: refused }),
        resumeFrom: { seqs: this.store.resume() },
        onEvent: (event) => this.#event(event),
        onMissed: (range) => this.#missed(range),
      }),
    );
    this.signals.listed();
    this.client.connect();
    this.sending.start();
  }

  stop() {
    this.#isStopped = true;
    this.client?.close({ waitMs: 0 });
    this.#timers.clearAll();
  }

  // ---- what the client hears

  #listen(client) {
    client.on('state', ({ state, error }) => {
      if (state === 'connected') this.#loadListSoon();
      this.onState(state);
      if (error) this.onSignedOut();
    });
    client.on('typing', (frame) => this.signals.heardTyping(frame));
    client.on('status', (frame) => this.store.takeStatus(frame));
    client.on('presence', ({ userId, online }) => this.store.setOnline(userId, online));
    client.on('notification', ({ notification }) => {
      if (notification.type === 'CONVERSATION_CREATED') this.#loadListSoon();
    });
    client.on('refused', ({ code, message }) => this.onNotice(sentence(message ?? code)));
    client.on('error', (error) => {
      // that the server is away is said elsewhere
      if (!(error.cause instanceof ApiError)) console.error(error);
    });
    return client;
  }

  #event(event) {
    const conversation = this.store.get(event.conversationId);
    return conversation ? this.#apply(conversation, event) : this.#unlisted(event);
  }

  /** The events behind it wait. Where the list cannot be read, the client comes with the event again. */
  async #unlisted(event) {
    await this.loadList();
    const conversation = this.store.get(event.conversationId);
    if (conversation) this.#apply(conversation, event);
  }

  async #missed({ conversationId, to }) {
    if (!this.store.get(conversationId)) await this.loadList();
    const conversation = this.store.get(conversationId);
    if (conversation && to > conversation.position) await this.history.missed(conversation, to);
  }

  #apply(conversation, event) {
    if (!this.store.take(conversation, event)) return;
    const me = this.store.me.id;
    if (event.type === 'MESSAGE' && event.senderId === me) this.sending.stored(event.clientMsgId);
    else if (event.type === 'MESSAGE') this.onMessage(event);
    if (event.type === 'USER_LEFT' && event.userId === me) this.#forget(conversation, event.actorId);
    else this.#lookUpPeople(conversation);
  }

  #skipped(conversation) {
    this.outbox.removeUpTo(conversation.id, conversation.position);
    this.#loadListSoon();
    if (conversation.isOpen) this.loadOlder(conversation.id).catch(noop);
  }

  // ---- the list

  /** One call at a time; a call during another waits for a fresh answer. */
  async loadList() {
    const previous = this.#listing;
    const run = (async () => {
      if (previous) await previous.catch(noop);
      this.store.takeList(await this.api.conversations());
      this.signals.listed();
      for (const conversation of this.store.conversations.values()) this.#lookUpPeople(conversation);
      this.#loadPreviews();
    })();
    this.#listing = run;
    try {
      await run;
    } finally {
      if (this.#listing === run) this.#listing = null;
    }
  }

  #loadListSoon(attempt = 0) {
    if (this.#isStopped) return;
    this.#timers.set('list', attempt === 0 ? 20 : 500 + backoff(attempt), async () => {
      try {
        await this.loadList();
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        if (error.status !== 401 && attempt < LIST_ATTEMPTS) this.#loadListSoon(attempt + 1);
      }
    });
  }

  /** The last messages of conversations whose summaries have none: a few at a time, the latest conversations first. */
  async #loadPreviews() {
    if (this.#isPreviewing) return;
    this.#isPreviewing = true;
    const waiting = this.store.sorted().filter(({ last, position }) => !last && position > 0);
    const worker = async () => {
      for (let next = waiting.shift(); next && !this.#isStopped; next = waiting.shift()) {
        const [newest] = await this.api.messages(next.id, { before: next.position + 1, limit: 1 });
        if (newest) this.store.takeLast(next, newest);
        this.#lookUpPeople(next);
      }
    };
    try {
      await Promise.all(Array.from({ length: PREVIEWS_AT_ONCE }, worker));
    } catch (error) {
      // a preview is not worth a complaint; the next list asks again
      if (!(error instanceof ApiError)) throw error;
    } finally {
      this.#isPreviewing = false;
    }
  }

  /** Names of members and senders that came as bare ids. */
  #lookUpPeople(conversation) {
    const ids = [...conversation.members, conversation.last?.senderId];
    for (const row of conversation.rows) ids.push(row.senderId, row.userId, row.actorId);
    for (const id of ids) {
      if (!id || this.#asked.has(id) || this.store.knows(id)) continue;
      this.#asked.add(id);
      this.#lookUp(id);
    }
  }

  async #lookUp(id) {
    try {
      this.store.addUser(await this.api.user(id));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.isOffline) this.#asked.delete(id);
      else this.store.addUser({ id, displayName: 'Somebody' });
    }
    this.store.changed();
    for (const known of this.store.conversations.keys()) this.store.changed(known);
  }

  // ---- reading

  async open(id) {
    const conversation = this.store.get(id);
    if (!conversation) return;
    conversation.isOpen = true;
    const jobs = [this.#loadMembers(conversation), this.#loadReceipts(conversation)];
    if (conversation.rows.length < PAGE) jobs.push(this.loadOlder(id));
    await Promise.all(jobs);
  }

  close(id) {
    const conversation = this.store.get(id);
    if (conversation) conversation.isOpen = false;
    this.signals.typed(id, false);
  }

  async loadOlder(id) {
    await this.history.loadOlder(id);
    const conversation = this.store.get(id);
    if (conversation) this.#lookUpPeople(conversation);
  }

  /** The person saw everything up to `seq`. */
  read(id, seq) {
    const conversation = this.store.get(id);
    if (conversation && this.store.markRead(conversation, seq)) this.signals.read(id, conversation.readSeq);
  }

  send(id, content) {
    this.sending.send(id, content);
    this.signals.typed(id, false);
  }

  async #loadMembers(conversation) {
    this.store.takeMembers(conversation, await this.api.members(conversation.id));
    this.#lookUpPeople(conversation);
    this.store.changed(conversation.id);
    this.store.changed();
  }

  async #loadReceipts(conversation) {
    for (const receipt of await this.api.receipts(conversation.id)) {
      if (receipt.userId !== this.store.me.id) this.store.takeReceipt(conversation, receipt);
    }
  }

  // ---- conversations and members

  /** Answers the new conversation's id. */
  async create({ kind, name, memberIds }) {
    const created = await this.api.createConversation({ kind, name, memberIds });
    try {
      await this.loadList();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.store.takeSummary(created);
    }
    return created.id;
  }

  async addMember(id, userId) {
    await this.api.addMember(id, userId);
    const conversation = this.store.get(id);
    if (conversation) await this.#loadMembers(conversation);
  }

  async removeMember(id, userId) {
    await this.api.removeMember(id, userId);
    const conversation = this.store.get(id);
    if (!conversation) return;
    if (userId === this.store.me.id) this.#forget(conversation, userId);
    else await this.#loadMembers(conversation);
  }

  #forget(conversation, actorId) {
    const title = this.store.titleOf(conversation);
    this.outbox.removeConversation(conversation.id);
    this.store.remove(conversation.id);
    const byMe = actorId === this.store.me.id;
    this.onNotice(byMe ? `You left ${title}.` : `${this.store.nameOf(actorId)} removed you from ${title}.`);
  }
}

function noop() {}
