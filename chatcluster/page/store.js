// What the page knows: people, conversations, their timelines. Pure state: no network, no DOM. Whoever shows it listens
// with `onChange(conversationId | null)`; null is the list itself.

/** Rows kept of a conversation that nobody looks at. */
const KEEP_ROWS = 400;

const ROW_OF_EVENT = { MESSAGE: 'message', USER_JOINED: 'joined', USER_LEFT: 'left' };

export class Store {
  #listeners = new Set();
  users = new Map();
  conversations = new Map();
  online = new Map();

  constructor(me) {
    this.me = me;
    this.users.set(me.id, me);
  }

  onChange(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  changed(conversationId = null) {
    for (const listener of this.#listeners) listener(conversationId);
  }

  addUser(user) {
    if (!user?.id) return;
    this.users.set(user.id, { ...this.users.get(user.id), ...user });
  }

  knows(userId) {
    const user = this.users.get(userId);
    return Boolean(user?.displayName || user?.username);
  }

  /** What to call somebody; an unknown person is one whose name is still on its way. */
  nameOf(userId) {
    const user = this.users.get(userId);
    return user?.displayName || user?.username || '…';
  }

  get(id) {
    return this.conversations.get(id);
  }

  /** Latest first. */
  sorted() {
    return [...this.conversations.values()].sort(
      (a, b) => b.activity.localeCompare(a.activity) || a.id.localeCompare(b.id),
    );
  }

  totalUnread() {
    let sum = 0;
    for (const conversation of this.conversations.values()) sum += conversation.unread;
    return sum;
  }

  /** Takes the server's list: new conversations start at its `lastSeq`, known ones keep their place, others go. */
  takeList(list) {
    const ids = new Set(list.map((summary) => summary.id));
    for (const id of [...this.conversations.keys()]) {
      if (!ids.has(id)) this.conversations.delete(id);
    }
    for (const summary of list) this.takeSummary(summary);
    this.changed();
  }

  takeSummary(summary) {
    const known = this.conversations.get(summary.id);
    const conversation = known ?? newConversation(summary);
    conversation.kind = summary.kind ?? conversation.kind;
    conversation.name = summary.name ?? conversation.name;
    // of a large conversation the list has no members
    if (summary.members?.length > 0) this.takeMembers(conversation, summary.members);
    const readSeq = summary.readSeq ?? 0;
    const readElsewhere = known && readSeq > known.readSeq;
    if (!known || conversation.isStale || (readElsewhere && (summary.lastSeq ?? 0) >= conversation.position)) {
      conversation.readSeq = Math.max(conversation.readSeq, readSeq);
      conversation.unread = summary.unread ?? 0;
      if (summary.lastMessage) conversation.last = messageRow(summary.lastMessage);
      conversation.isStale = false;
    }
    conversation.activity = latest(conversation.activity, conversation.last?.at, summary.createdAt);
    this.conversations.set(summary.id, conversation);
    return conversation;
  }

  takeMembers(conversation, members) {
    conversation.members = new Set();
    for (const member of members) {
      const id = member.id ?? member.userId;
      conversation.members.add(id);
      this.addUser({ ...member, id });
    }
  }

  remove(id) {
    this.conversations.delete(id);
    this.changed();
    this.changed(id);
  }

  /** The last seq that is known of each conversation. */
  resume() {
    return Object.fromEntries([...this.conversations].map(([id, { position }]) => [id, position]));
  }

  /** Takes the next event of a conversation; false when the list had brought the conversation further already. */
  take(conversation, event) {
    if (event.seq <= conversation.position) return false;
    conversation.position = event.seq;
    this.#apply(conversation, event);
    this.#afterEvents(conversation);
    return true;
  }

  /** The events up to `seq` will not come: what is shown starts anew after it. */
  skipTo(conversation, seq) {
    conversation.position = seq;
    conversation.rows = [];
    conversation.floor = seq + 1;
    conversation.isComplete = false;
    conversation.isStale = true;
    this.#afterEvents(conversation);
  }

  #afterEvents(conversation) {
    if (!conversation.isOpen && conversation.rows.length > KEEP_ROWS * 2) {
      conversation.rows.splice(0, conversation.rows.length - KEEP_ROWS);
      conversation.floor = conversation.rows[0].seq;
      conversation.isComplete = false;
    }
    this.changed(conversation.id);
    this.changed();
  }

  #apply(conversation, event) {
    switch (event.type) {
      case 'MESSAGE': {
        const row = messageRow(event);
        conversation.rows.push(row);
        conversation.last = row;
        conversation.activity = latest(conversation.activity, row.at);
        conversation.typing.delete(row.senderId);
        if (row.senderId !== this.me.id && row.seq > conversation.readSeq) conversation.unread += 1;
        break;
      }
      case 'MESSAGE_EDITED':
        this.#changeMessage(conversation, event.messageId, { content: event.content, isEdited: true });
        break;
      case 'MESSAGE_DELETED':
        this.#changeMessage(conversation, event.messageId, { content: '', isDeleted: true, reactions: new Map() });
        break;
      case 'REACTION_ADDED':
      case 'REACTION_REMOVED':
        this.#react(conversation, event);
        break;
      case 'USER_JOINED':
        conversation.members.add(event.userId);
        conversation.rows.push(eventRow(event));
        break;
      case 'USER_LEFT':
        conversation.members.delete(event.userId);
        conversation.typing.delete(event.userId);
        conversation.rows.push(eventRow(event));
        break;
      default: // pins and kinds to come take a seq and show nothing here
    }
  }

  #changeMessage(conversation, messageId, change) {
    const row = conversation.rows.find((candidate) => candidate.messageId === messageId);
    if (row) Object.assign(row, change);
    if (conversation.last?.messageId === messageId && conversation.last !== row) {
      Object.assign(conversation.last, change);
    }
  }

  #react(conversation, { type, messageId, userId, emoji }) {
    const row = conversation.rows.find((candidate) => candidate.messageId === messageId);
    if (!row) return;
    const people = row.reactions.get(emoji) ?? new Set();
    if (type === 'REACTION_ADDED') people.add(userId);
    else people.delete(userId);
    if (people.size > 0) row.reactions.set(emoji, people);
    else row.reactions.delete(emoji);
  }

  /** Puts a page of older messages, and the joins and leaves between them, above what is there. */
  addHistory(conversation, { messages, events, floor, isComplete }) {
    const known = new Set(conversation.rows.map((row) => row.seq));
    const older = [...messages.map(messageRow), ...events.map(eventRow)]
      .filter((row) => !known.has(row.seq) && row.seq <= conversation.position)
      .sort((a, b) => a.seq - b.seq);
    conversation.rows = [...older, ...conversation.rows].sort((a, b) => a.seq - b.seq);
    conversation.floor = Math.min(conversation.floor, floor);
    conversation.isComplete = isComplete;
    this.changed(conversation.id);
  }

  /** The newest message of a conversation whose summary had none; what came by itself meanwhile is newer. */
  takeLast(conversation, message) {
    if (conversation.last) return;
    conversation.last = messageRow(message);
    conversation.activity = latest(conversation.activity, conversation.last.at);
    this.changed();
  }

  /** The caller read up to `seq`; true when that is news. */
  markRead(conversation, seq) {
    if (seq <= conversation.readSeq) return false;
    conversation.readSeq = seq;
    const after = conversation.rows.filter((row) => row.seq > seq && row.kind === 'message');
    const unread = after.filter((row) => row.senderId !== this.me.id).length;
    conversation.unread = Math.min(conversation.unread, unread);
    this.changed();
    return true;
  }

  /** Somebody's watermarks moved. */
  takeReceipt(conversation, { userId, deliveredSeq = 0, readSeq = 0 }) {
    const before = conversation.receipts.get(userId) ?? { deliveredSeq: 0, readSeq: 0 };
    conversation.receipts.set(userId, {
      deliveredSeq: Math.max(before.deliveredSeq, deliveredSeq, readSeq),
      readSeq: Math.max(before.readSeq, readSeq),
    });
    this.changed(conversation.id);
  }

  /** A STATUS frame: a watermark passed one of the caller's messages. */
  takeStatus(frame) {
    const conversation = this.conversations.get(frame.conversationId);
    if (!conversation || frame.userId === this.me.id) return;
    const seq = frame.seq ?? conversation.rows.find((row) => row.messageId === frame.messageId)?.seq;
    if (!seq) return;
    if (frame.status === 'READ') this.takeReceipt(conversation, { userId: frame.userId, readSeq: seq });
    if (frame.status === 'DELIVERED') this.takeReceipt(conversation, { userId: frame.userId, deliveredSeq: seq });
  }

  setTyping(conversationId, userId, isTyping) {
    const conversation = this.conversations.get(conversationId);
    if (!conversation || userId === this.me.id) return;
    if (isTyping) conversation.typing.add(userId);
    else conversation.typing.delete(userId);
    this.changed(conversationId);
    this.changed();
  }

  setOnline(userId, isOnline) {
    this.online.set(userId, isOnline);
    this.changed();
  }

  /** What stands above a conversation: its name, or the names of the others in it. */
  titleOf(conversation) {
    if (conversation.name) return conversation.name;
    const others = this.othersOf(conversation);
    if (others.length === 0) return conversation.kind === 'dm' ? 'Notes to myself' : 'Only you';
    return others.map((id) => this.nameOf(id)).join(', ');
  }

  othersOf(conversation) {
    return [...conversation.members].filter((id) => id !== this.me.id);
  }
}

function newConversation({ id, lastSeq = 0 }) {
  return {
    id,
    kind: 'group',
    name: '',
    members: new Set(),
    /** The last seq that was applied; everything up to it counts as seen. */
    position: lastSeq,
    readSeq: 0,
    unread: 0,
    last: null,
    activity: '',
    /** Everything with seq >= floor that was handled is in `rows`, ascending. */
    rows: [],
    floor: lastSeq + 1,
    /** There is nothing below `floor`. */
    isComplete: lastSeq === 0,
    isOpen: false,
    isStale: false,
    typing: new Set(),
    receipts: new Map(),
  };
}

function messageRow(message) {
  return {
    kind: 'message',
    seq: message.seq,
    messageId: message.messageId ?? message.id,
    clientMsgId: message.clientMsgId,
    senderId: message.senderId,
    content: message.content ?? '',
    at: message.createdAt ?? '',
    isEdited: Boolean(message.editedAt) || (message.version ?? 1) > 1,
    isDeleted: Boolean(message.deletedAt ?? message.deleted),
    reactions: reactionsOf(message.reactions),
  };
}

/** `[{emoji, userIds}]` or `[{emoji, userId}]` */
function reactionsOf(list) {
  const reactions = new Map();
  for (const { emoji, userIds, userId } of Array.isArray(list) ? list : []) {
    const people = reactions.get(emoji) ?? new Set();
    for (const id of userIds ?? [userId]) people.add(id);
    reactions.set(emoji, people);
  }
  return reactions;
}

function eventRow(event) {
  const { seq, userId, actorId } = event;
  return { kind: ROW_OF_EVENT[event.type], seq, userId, actorId, at: event.createdAt ?? '' };
}

function latest(...times) {
  return times.filter(Boolean).reduce((a, b) => (a > b ? a : b), '');
}
