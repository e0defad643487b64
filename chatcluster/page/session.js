// One signed-in person at work: joins the REST calls, the connection, the outbox and the store. No DOM.

import { ApiError } from './api.js';
import { backoff } from './connection.js';

const PAGE = 50;
/** A gap up to this long is fetched event by event; a longer one starts the timeline anew. */
const FILL_LIMIT = 500;
const FILL_PAGE = 200;
/** Events kept of conversations that are not in the list yet. */
const STRAY_LIMIT = 1000;
const ACK_MS = 10_000;
const SEND_ATTEMPTS = 4;
const RECEIPT_MS = 300;
const TYPING_REPEAT_MS = 3_000;
const TYPING_IDLE_MS = 5_000;
const TYPING_FORGET_MS = 7_000;
const TRY_AGAIN = new Set(['unavailable', 'rate_limited', 'internal', 'not_connected', 'token_expired']);

export class Session {
  #timers = new Map();
  #strays = [];
  #filling = new Set();
  #paging = new Map();
  #receipts = new Map();
  #asked = new Set();
  #typingSince = new Map();
  #listing = null;
  #isStopped = false;

  /**
   * `connect(handlers)` makes the connection; `onMessage(event)` gets every new message of somebody else;
   * `onNotice(text)` tells the person something in passing.
   */
  constructor({ api, store, outbox, connect, onState = noop, onMessage = noop, onNotice = noop, onSignedOut = noop }) {
    this.api = api;
    this.store = store;
    this.outbox = outbox;
    this.onMessage = onMessage;
    this.onNotice = onNotice;
    this.connection = connect({
      token: (options) => api.token(options),
      resume: () => store.resume(),
      onFrame: (frame) => this.#receive(frame),
      onState,
      onRefused: onSignedOut,
    });
  }

  /** The list comes first, so that the first CONNECT can say where to go on from. */
  async start() {
    try {
      await this.loadList();
    } catch {
      // CONNECTED asks again
    }
    if (!this.#isStopped) this.connection.start();
  }

  stop() {
    this.#isStopped = true;
    this.connection.stop();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  // ---- the list

  /** One call at a time; a call during another waits for a fresh answer. */
  async loadList() {
    const previous = this.#listing;
    const run = (async () => {
      if (previous) await previous.catch(() => {});
      this.store.takeList(await this.api.conversations());
      this.#placeStrays();
      for (const conversation of this.store.conversations.values()) this.#lookUpPeople(conversation);
    })();
    this.#listing = run;
    try {
      await run;
    } finally {
      if (this.#listing === run) this.#listing = null;
    }
  }

  #loadListSoon(attempt = 0) {
    this.#later('list', attempt === 0 ? 20 : 500 + backoff(attempt), async () => {
      try {
        await this.loadList();
      } catch (error) {
        if (error instanceof ApiError && error.status !== 401 && attempt < 8) this.#loadListSoon(attempt + 1);
      }
    });
  }

  #placeStrays() {
    const strays = this.#strays;
    this.#strays = [];
    for (const event of strays) {
      if (this.store.get(event.conversationId)) this.#event(event);
    }
  }

  // ---- frames

  #receive(frame) {
    switch (frame.type) {
      case 'CONNECTED':
        this.#connected();
        break;
      case 'ACK':
        this.#clear(`ack ${frame.clientMsgId}`);
        this.#acknowledged(frame);
        break;
      case 'ERROR':
        this.#refused(frame);
        break;
      case 'TYPING':
        this.#typing(frame);
        break;
      case 'STATUS':
        this.store.takeStatus(frame);
        break;
      case 'PRESENCE':
        this.store.setOnline(frame.userId, frame.online);
        break;
      case 'NOTIFICATION':
        if (frame.notification?.type === 'CONVERSATION_CREATED') this.#loadListSoon();
        break;
      case 'RESYNC':
        this.#resync(frame);
        break;
      default:
        if (typeof frame.seq === 'number' && frame.conversationId) this.#event(frame);
    }
  }

  #connected() {
    this.#loadListSoon();
    for (const item of this.outbox.pending()) this.#transmit(item);
    for (const conversation of this.store.conversations.values()) {
      if (conversation.unread > 0) this.#receipt(conversation);
      if (conversation.sequence.hasGap) this.#fill(conversation.id);
    }
    this.#flushReceipts();
  }

  #event(event) {
    const conversation = this.store.get(event.conversationId);
    if (!conversation) {
      if (this.#strays.length < STRAY_LIMIT) this.#strays.push(event);
      this.#loadListSoon();
      return;
    }
    this.#handled(conversation, this.store.offer(event));
    if (conversation.sequence.hasGap) this.#fill(conversation.id);
  }

  #handled(conversation, events) {
    for (const event of events) {
      if (event.type === 'MESSAGE') this.#newMessage(event);
      if (event.type === 'USER_LEFT' && event.userId === this.store.me.id) {
        this.#forget(conversation, event.actorId);
        return;
      }
    }
    if (events.length === 0) return;
    this.#lookUpPeople(conversation);
    this.#receipt(conversation);
  }

  #newMessage(event) {
    if (event.senderId !== this.store.me.id) {
      this.onMessage(event);
      return;
    }
    this.#clear(`ack ${event.clientMsgId}`);
    this.outbox.remove(event.clientMsgId);
  }

  #forget(conversation, actorId) {
    const title = this.store.titleOf(conversation);
    this.outbox.removeConversation(conversation.id);
    this.store.remove(conversation.id);
    const byMe = actorId === undefined || actorId === this.store.me.id;
    this.onNotice(byMe ? `You left ${title}.` : `${this.store.nameOf(actorId)} removed you from ${title}.`);
  }

  /** Fetches what is missing before events that came too early. */
  async #fill(id, attempt = 0) {
    if (this.#filling.has(id)) return;
    this.#filling.add(id);
    let again = false;
    try {
      for (let conversation = this.store.get(id); conversation?.sequence.hasGap; conversation = this.store.get(id)) {
        const { sequence } = conversation;
        const events = await this.api.events(id, { after: sequence.position, limit: FILL_PAGE });
        if (this.store.get(id) !== conversation) break;
        const before = sequence.position;
        // what the log no longer has, or never had for this reader, will not come
        if (events.length > 0 && events[0].seq > before + 1) {
          this.#handled(conversation, this.store.skipTo(conversation, events[0].seq - 1));
        }
        for (const event of events) this.#handled(conversation, this.store.offer(event));
        if (sequence.position === before) {
          again = true;
          break;
        }
      }
    } catch (error) {
      again = error instanceof ApiError && error.isOffline;
    } finally {
      this.#filling.delete(id);
    }
    if (again && attempt < 8) this.#later(`fill ${id}`, backoff(attempt + 1), () => this.#fill(id, attempt + 1));
  }

  /** The server will not send `from..=head`: fetch them, or start anew where that would be too much. */
  async #resync({ conversationId, head }) {
    const conversation = this.store.get(conversationId);
    if (!conversation) {
      this.#loadListSoon();
      return;
    }
    if (head - conversation.sequence.position <= FILL_LIMIT) {
      conversation.sequence.note(head);
      this.#fill(conversationId);
      return;
    }
    this.#handled(conversation, this.store.skipTo(conversation, head));
    this.outbox.removeUpTo(conversationId, head);
    this.#loadListSoon();
    this.#receipt(conversation);
    if (conversation.isOpen) await this.loadOlder(conversationId).catch(() => {});
  }

  // ---- people

  /** Names of members and senders that came as bare ids. */
  #lookUpPeople(conversation) {
    const ids = [...conversation.members, conversation.last?.senderId];
    for (const row of conversation.rows) ids.push(row.senderId, row.userId, row.actorId);
    for (const id of ids) {
      if (!id || this.#asked.has(id) || this.store.users.get(id)?.username) continue;
      this.#asked.add(id);
      this.api.user(id).then(
        (user) => {
          this.store.addUser(user);
          this.store.changed();
          for (const known of this.store.conversations.keys()) this.store.changed(known);
        },
        (error) => {
          if (error.isOffline) this.#asked.delete(id);
          else this.store.addUser({ id, username: id });
        },
      );
    }
  }

  // ---- reading

  async open(id) {
    const conversation = this.store.get(id);
    if (!conversation) return;
    conversation.isOpen = true;
    const jobs = [this.#loadMembers(conversation), this.#loadReceipts(conversation)];
    if (conversation.rows.length < PAGE && !conversation.isComplete) jobs.push(this.loadOlder(id));
    await Promise.all(jobs);
  }

  close(id) {
    const conversation = this.store.get(id);
    if (conversation) conversation.isOpen = false;
    this.typed(id, false);
  }

  async #loadMembers(conversation) {
    const members = await this.api.members(conversation.id);
    this.store.takeMembers(conversation, members);
    this.#lookUpPeople(conversation);
    this.store.changed(conversation.id);
    this.store.changed();
  }

  async #loadReceipts(conversation) {
    for (const receipt of await this.api.receipts(conversation.id)) {
      if (receipt.userId !== this.store.me.id) this.store.takeReceipt(conversation, receipt);
    }
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
    this.#lookUpPeople(conversation);
  }

  /** Joins and leaves between the messages of a page; where every seq is a message there is nothing to ask. */
  async #eventsBetween(id, first, last, messages) {
    if (last - first + 1 <= messages) return [];
    try {
      const events = await this.api.events(id, { after: first - 1, limit: Math.min(FILL_PAGE, last - first + 1) });
      return events.filter(({ type, seq }) => seq <= last && (type === 'USER_JOINED' || type === 'USER_LEFT'));
    } catch (error) {
      if (error instanceof ApiError) return [];
      throw error;
    }
  }

  /** The person saw everything up to `seq`. */
  read(id, seq) {
    const conversation = this.store.get(id);
    if (conversation && this.store.markRead(conversation, seq)) this.#receipt(conversation);
  }

  #receipt(conversation) {
    this.#receipts.set(conversation.id, conversation);
    this.#later('receipts', RECEIPT_MS, () => this.#flushReceipts(), { keep: true });
  }

  #flushReceipts() {
    for (const [id, { sequence, readSeq }] of this.#receipts) {
      const frame = { type: 'RECEIPT', conversationId: id, deliveredSeq: sequence.position };
      if (readSeq > 0) frame.readSeq = Math.min(readSeq, sequence.position);
      if (sequence.position > 0 && !this.connection.send(frame)) return;
      this.#receipts.delete(id);
    }
  }

  // ---- writing

  send(conversationId, content) {
    const item = this.outbox.add(conversationId, content);
    this.typed(conversationId, false);
    this.store.changed(conversationId);
    this.#transmit(item);
  }

  retry(clientMsgId) {
    const item = this.outbox.get(clientMsgId);
    if (!item) return;
    this.outbox.retry(clientMsgId);
    this.store.changed(item.conversationId);
    this.#transmit(item);
  }

  discard(clientMsgId) {
    const item = this.outbox.get(clientMsgId);
    if (!item) return;
    this.outbox.remove(clientMsgId);
    this.store.changed(item.conversationId);
  }

  #transmit(item) {
    const { clientMsgId, conversationId, content } = item;
    if (!this.connection.send({ type: 'SEND', clientMsgId, conversationId, content })) return;
    item.attempts += 1;
    this.#later(`ack ${clientMsgId}`, ACK_MS, () => this.#again(item, 'The server did not answer.'));
  }

  /** Another attempt with the same clientMsgId, or none when there were enough. */
  #again(item, reason) {
    if (item.state !== 'pending' || this.connection.state !== 'connected') return;
    if (item.attempts < SEND_ATTEMPTS) {
      this.#transmit(item);
      return;
    }
    this.outbox.failed(item.clientMsgId, reason);
    this.store.changed(item.conversationId);
  }

  #acknowledged({ clientMsgId, messageId, seq }) {
    const item = this.outbox.get(clientMsgId);
    if (!item) return;
    const conversation = this.store.get(item.conversationId);
    // the MESSAGE came first, or its place in the log was skipped
    if (conversation && seq <= conversation.sequence.position) this.outbox.remove(clientMsgId);
    else this.outbox.acknowledged(clientMsgId, { messageId, seq });
    this.store.changed(item.conversationId);
  }

  #refused({ code, message, clientMsgId }) {
    const item = clientMsgId && this.outbox.get(clientMsgId);
    if (!item) {
      if (!TRY_AGAIN.has(code)) this.onNotice(message);
      return;
    }
    this.#clear(`ack ${clientMsgId}`);
    if (TRY_AGAIN.has(code)) {
      const pause = 500 + backoff(item.attempts + 1);
      this.#later(`ack ${clientMsgId}`, pause, () => this.#again(item, message));
      return;
    }
    this.outbox.failed(clientMsgId, message);
    this.store.changed(item.conversationId);
  }

  /** The person is writing (or stopped); told to the others now and then, not with every key. */
  typed(id, isTyping) {
    const since = this.#typingSince.get(id);
    if (!isTyping) {
      this.#clear(`idle ${id}`);
      if (since === undefined) return;
      this.#typingSince.delete(id);
      this.connection.send({ type: 'TYPING', conversationId: id, isTyping: false });
      return;
    }
    this.#later(`idle ${id}`, TYPING_IDLE_MS, () => this.typed(id, false));
    if (since !== undefined && Date.now() - since < TYPING_REPEAT_MS) return;
    if (this.connection.send({ type: 'TYPING', conversationId: id, isTyping: true })) {
      this.#typingSince.set(id, Date.now());
    }
  }

  #typing({ conversationId, userId, isTyping }) {
    this.store.setTyping(conversationId, userId, isTyping);
    const name = `typing ${conversationId} ${userId}`;
    if (isTyping) this.#later(name, TYPING_FORGET_MS, () => this.store.setTyping(conversationId, userId, false));
    else this.#clear(name);
  }

  // ---- conversations and members

  /** Answers the new conversation's id. */
  async create({ kind, name, memberIds }) {
    const created = await this.api.createConversation({ kind, name, memberIds });
    await this.loadList().catch(() => this.store.takeSummary(created));
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
    if (userId === this.store.me.id) this.#forget(conversation);
    else await this.#loadMembers(conversation);
  }

  // ---- timers

  #later(name, delay, action, { keep = false } = {}) {
    if (this.#isStopped || (keep && this.#timers.has(name))) return;
    this.#clear(name);
    this.#timers.set(
      name,
      setTimeout(() => {
        this.#timers.delete(name);
        action();
      }, delay),
    );
  }

  #clear(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}

function noop() {}
