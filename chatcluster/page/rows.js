// From a conversation's events to the rows of its timeline: days, groups of one sender, who saw what. Pure.

import { dayKey, dayLabel, nameList } from './text.js';

/** Messages of one sender closer than this stand together. */
const GROUP_MS = 5 * 60_000;

/**
 * Rows `{key, kind: day|unread|system|message, …}` from top to bottom. `waiting` are the outbox items of the conversation;
 * `unreadAfter` is the seq after which the line "New" stands, or null.
 */
export function timelineRows(store, conversation, waiting, unreadAfter, now = new Date()) {
  const rows = [];
  let day = '';
  let previous = null;
  // before the first unread message is loaded, the line would stand in a wrong place
  let showsUnread = unreadAfter !== null && conversation.floor <= unreadAfter + 1;
  const seen = new Set(conversation.rows.map((row) => row.clientMsgId).filter(Boolean));
  const items = [
    ...conversation.rows,
    ...waiting.filter((item) => !seen.has(item.clientMsgId)).map((item) => waitingRow(item, store.me.id)),
  ];
  for (const item of items) {
    const date = item.at ? new Date(item.at) : now;
    if (dayKey(date) !== day) {
      day = dayKey(date);
      rows.push({ key: `day ${day}`, kind: 'day', text: dayLabel(date, now) });
      previous = null;
    }
    if (showsUnread && item.seq > unreadAfter && item.senderId !== store.me.id) {
      rows.push({ key: 'unread', kind: 'unread', text: 'New' });
      showsUnread = false;
      previous = null;
    }
    if (item.kind !== 'message') {
      rows.push({ key: `seq ${item.seq}`, kind: 'system', seq: item.seq, date, text: systemText(store, item) });
      previous = null;
      continue;
    }
    const isFirst = previous?.senderId !== item.senderId || date - previous.date > GROUP_MS;
    if (previous && isFirst) previous.isLast = true;
    const isMine = item.senderId === store.me.id;
    const row = { ...item, key: isMine && item.clientMsgId ? `own ${item.clientMsgId}` : `seq ${item.seq}`, date, isMine, isFirst, isLast: false };
    rows.push(row);
    previous = row;
  }
  closeGroups(rows);
  addReceipts(store, conversation, rows);
  return rows;
}

function waitingRow(item, me) {
  return {
    kind: 'message',
    seq: item.seq ?? Infinity,
    clientMsgId: item.clientMsgId,
    senderId: me,
    content: item.content,
    at: item.createdAt,
    state: item.state,
    error: item.error,
    reactions: new Map(),
  };
}

function closeGroups(rows) {
  rows.forEach((row, index) => {
    const next = rows[index + 1];
    if (row.kind === 'message' && (!next || next.kind !== 'message' || next.isFirst)) row.isLast = true;
  });
}

function systemText(store, { kind, userId, actorId }) {
  const isMe = userId === store.me.id;
  const who = isMe ? 'You' : store.nameOf(userId);
  const byThemselves = !actorId || actorId === userId;
  if (byThemselves) return `${who} ${kind}`;
  const actor = actorId === store.me.id ? 'You' : store.nameOf(actorId);
  const whom = isMe ? 'you' : who;
  return kind === 'joined' ? `${actor} added ${whom}` : `${actor} removed ${whom}`;
}

/** "Seen by" under the last own message that each other member read; "Delivered" under the very last one. */
function addReceipts(store, conversation, rows) {
  if (conversation.kind === 'channel') return;
  const own = rows.filter((row) => row.isMine && Number.isFinite(row.seq));
  const last = own.at(-1);
  if (!last) return;
  const isDirect = conversation.kind === 'dm';
  const readers = new Map();
  for (const [userId, { readSeq }] of conversation.receipts) {
    if (userId === store.me.id || !conversation.members.has(userId)) continue;
    const row = own.findLast((candidate) => candidate.seq <= readSeq);
    if (row) readers.set(row, [...(readers.get(row) ?? []), store.nameOf(userId)]);
  }
  for (const [row, names] of readers) row.receipt = isDirect ? 'Seen' : `Seen by ${nameList(names)}`;
  const isDelivered = [...conversation.receipts.values()].some(({ deliveredSeq }) => deliveredSeq >= last.seq);
  if (!last.receipt && isDelivered) last.receipt = 'Delivered';
}
