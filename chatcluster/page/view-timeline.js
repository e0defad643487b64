// The messages of the open conversation: rows to nodes, and a scroll position that stays where the reader is.

import { byId, el, paintAvatar, reconcile, say, setText } from './dom.js';
import { timelineRows } from './rows.js';
import { clock, fullTime, isOnlyEmoji, pieces } from './text.js';

/** Closer to the end than this counts as being at the end. */
const NEAR_PX = 60;
/** Closer to the start than this asks for older messages. */
const OLDER_PX = 500;

export class TimelineView {
  #scroller = byId('scroller');
  #list = byId('timeline');
  #conversation = null;
  #unreadAfter = null;
  #isAtEnd = true;
  #newest = 0;
  #unseen = 0;
  #isLoading = false;
  #pausedUntil = 0;

  constructor({ session }) {
    this.session = session;
    this.store = session.store;
    this.#scroller.onscroll = () => this.#scrolled();
    byId('pill').onclick = () => this.toEnd(true);
    this.resizing = new ResizeObserver(() => this.#isAtEnd && this.toEnd());
    this.resizing.observe(this.#scroller);
  }

  stop() {
    this.resizing.disconnect();
    this.#list.reconciled = undefined;
    this.#list.replaceChildren();
  }

  /** Shows a conversation from its first unread message, or from the end. */
  async open(conversation) {
    this.#conversation = conversation;
    this.#unreadAfter = conversation.unread > 0 ? conversation.readSeq : null;
    this.#isAtEnd = true;
    this.#newest = conversation.position;
    this.#unseen = 0;
    this.#list.reconciled = undefined;
    this.#list.replaceChildren();
    this.#isLoading = true;
    this.render();
    try {
      await this.session.open(conversation.id);
    } catch (error) {
      this.#pausedUntil = Date.now() + 5000;
      if (!error.isOffline) this.session.onNotice(error.message);
    } finally {
      if (this.#conversation === conversation) {
        this.#isLoading = false;
        this.render();
        this.#showUnread();
        this.markRead();
      }
    }
  }

  close() {
    this.#conversation = null;
  }

  render() {
    const conversation = this.#conversation;
    if (!conversation) return;
    const anchor = this.#isAtEnd ? null : this.#anchor();
    const waiting = this.session.outbox.of(conversation.id);
    const rows = timelineRows(this.store, conversation, waiting, this.#unreadAfter);
    reconcile(this.#list, rows.map((row) => this.#row(row, conversation)));
    setText(byId('history'), this.#historyText(conversation, rows));
    byId('history').classList.toggle('empty', rows.length === 0);
    this.#countNew(conversation);
    // writing the position, even the same one, would end a smooth scroll
    const shift = anchor ? anchor.node.getBoundingClientRect().top - anchor.top : 0;
    if (shift !== 0) this.#scroller.scrollTop += shift;
    if (!anchor && this.#isAtEnd) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#showPill();
    this.#loadOlderIfNear();
  }

  toEnd(smoothly = false) {
    this.#isAtEnd = true;
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    const isFar = scrollHeight - scrollTop > 4 * clientHeight;
    const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    this.#scroller.scrollTo({ top: scrollHeight, behavior: smoothly && !isFar && !calm ? 'smooth' : 'instant' });
    this.#unseen = 0;
    this.#showPill();
  }

  /** The own message just sent ends the reading of what is new. */
  sent() {
    this.#unreadAfter = null;
    this.toEnd();
  }

  /** Reports how far the person can have read: to the end, or to the last row that is wholly in view. */
  markRead() {
    const conversation = this.#conversation;
    if (!conversation || document.visibilityState !== 'visible' || !document.hasFocus() || this.#isLoading) return;
    if (this.#isAtEnd) {
      this.session.read(conversation.id, conversation.position);
      return;
    }
    const bottom = this.#scroller.getBoundingClientRect().bottom;
    const nodes = this.#list.children;
    for (let index = nodes.length - 1; index >= 0; index -= 1) {
      const seq = Number(nodes[index].dataset.seq);
      if (!Number.isFinite(seq) || seq <= 0 || nodes[index].getBoundingClientRect().bottom > bottom) continue;
      this.session.read(conversation.id, seq);
      return;
    }
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    this.#isAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    if (this.#isAtEnd) this.#unseen = 0;
    this.#showPill();
    this.markRead();
    this.#loadOlderIfNear();
  }

  #showUnread() {
    const line = this.#list.querySelector('.unread-line');
    if (!line) return;
    const { top } = this.#scroller.getBoundingClientRect();
    const offset = line.getBoundingClientRect().top - top;
    if (offset >= 0) return;
    this.#isAtEnd = false;
    this.#scroller.scrollTop += offset - 24;
  }

  async #loadOlderIfNear() {
    const conversation = this.#conversation;
    if (!conversation || this.#isLoading || conversation.isComplete || Date.now() < this.#pausedUntil) return;
    if (this.#scroller.scrollTop > OLDER_PX) return;
    this.#isLoading = true;
    setText(byId('history'), 'Loading older messages…');
    try {
      await this.session.loadOlder(conversation.id);
    } catch (error) {
      this.#pausedUntil = Date.now() + 5000;
      if (!error.isOffline) this.session.onNotice(error.message);
    } finally {
      this.#isLoading = false;
      if (this.#conversation === conversation) this.render();
    }
  }

  #historyText(conversation, rows) {
    if (this.#isLoading) return 'Loading messages…';
    if (!conversation.isComplete) return '';
    if (rows.some((row) => row.kind === 'message')) return 'This is where the conversation begins.';
    return 'Nothing here yet. Write the first message.';
  }

  #countNew(conversation) {
    const fresh = conversation.rows.filter((row) => row.seq > this.#newest && row.kind === 'message');
    this.#newest = Math.max(this.#newest, conversation.position);
    if (!this.#isAtEnd) this.#unseen += fresh.filter((row) => row.senderId !== this.store.me.id).length;
  }

  #showPill() {
    const pill = byId('pill');
    pill.hidden = this.#isAtEnd;
    const text = this.#unseen === 0 ? 'Latest' : this.#unseen === 1 ? '1 new message' : `${this.#unseen} new messages`;
    setText(byId('pill-text'), text);
    pill.classList.toggle('news', this.#unseen > 0);
  }

  /** The first row in view, and where it stands. */
  #anchor() {
    const { top } = this.#scroller.getBoundingClientRect();
    for (const node of this.#list.children) {
      const box = node.getBoundingClientRect();
      if (box.bottom > top && node.dataset.seq) return { node, top: box.top };
    }
    return null;
  }

  #row(row, conversation) {
    if (row.kind === 'message') return this.#messageRow(row, conversation);
    const { key, kind, text, seq } = row;
    const className = { day: 'day-line', unread: 'unread-line', system: 'system-line' }[kind];
    return {
      key,
      signature: text,
      make: () => el('li', { class: className, 'data-seq': seq }, el('span', {}, text)),
    };
  }

  #messageRow(row, conversation) {
    const name = this.store.nameOf(row.senderId);
    const showsName = !row.isMine && row.isFirst && conversation.kind !== 'dm';
    const showsAvatar = !row.isMine && conversation.kind !== 'dm';
    const reactions = [...row.reactions].map(([emoji, people]) => [emoji, [...people]]);
    const { key, seq, content, state, error, receipt, isFirst, isLast, isEdited, isDeleted } = row;
    return {
      key,
      signature: JSON.stringify([name, seq, content, state, error, receipt, isFirst, isLast, isEdited, isDeleted, showsName, reactions]),
      make: () => {
        const classes = ['message', row.isMine ? 'mine' : 'theirs'];
        if (isFirst) classes.push('first');
        if (isLast) classes.push('last');
        if (state && state !== 'sent') classes.push(state);
        return el(
          'li',
          { class: classes.join(' '), 'data-seq': Number.isFinite(seq) ? seq : null },
          showsAvatar &&
            (isLast
              ? paintAvatar(el('span', { class: 'avatar small', 'aria-hidden': 'true' }), { id: row.senderId, name })
              : el('span', { class: 'avatar-space' })),
          el(
            'div',
            { class: 'message-body' },
            el('span', { class: showsName ? 'sender' : 'hidden-label' }, showsName ? name : row.isMine ? 'You:' : `${name}:`),
            bubble(row),
            reactions.length > 0 && el('div', { class: 'reactions' }, ...reactions.map((entry) => this.#reaction(entry))),
            isLast || receipt || state === 'failed' ? this.#foot(row) : null,
          ),
        );
      },
    };
  }

  #reaction([emoji, people]) {
    const names = people.map((id) => (id === this.store.me.id ? 'you' : this.store.nameOf(id))).join(', ');
    return el('span', { class: 'reaction', title: names }, `${emoji} ${people.length}`);
  }

  #foot(row) {
    const foot = el('div', { class: 'foot' });
    if (row.state === 'failed') {
      foot.append(
        el('span', { class: 'failed-text' }, `Not sent. ${row.error ?? ''} `),
        el('button', { type: 'button', class: 'link', onclick: () => this.session.sending.retry(row.clientMsgId) }, 'Try again'),
        el('button', { type: 'button', class: 'link', onclick: () => this.session.sending.discard(row.clientMsgId) }, 'Discard'),
      );
      return foot;
    }
    if (row.state === 'pending') foot.append(el('span', { class: 'waiting' }, 'Sending…'));
    else foot.append(el('time', { datetime: row.date.toISOString() }, clock(row.date)));
    if (row.isEdited && !row.isDeleted) foot.append(el('span', {}, 'edited'));
    if (row.receipt) foot.append(el('span', { class: 'receipt' }, row.receipt));
    return foot;
  }
}

function bubble({ content, isDeleted, date, isEdited }) {
  const attributes = { class: 'bubble', title: fullTime(date) + (isEdited ? ' (edited)' : ''), dir: 'auto' };
  if (isDeleted) return el('p', { ...attributes, class: 'bubble deleted' }, 'Message deleted');
  if (isOnlyEmoji(content)) return el('p', { ...attributes, class: 'bubble emoji' }, content);
  const parts = pieces(content).map(({ text, href }) =>
    href ? el('a', { href, target: '_blank', rel: 'noopener noreferrer nofollow' }, text) : text,
  );
  return el('p', attributes, ...parts);
}

/** Who is writing, below the last message. */
export function showTyping(store, conversation) {
  const names = [...conversation.typing].map((id) => store.nameOf(id));
  const verb = names.length === 1 ? 'is' : 'are';
  const text = names.length === 0 ? '' : names.length > 3 ? 'Several people are typing' : `${names.join(', ')} ${verb} typing`;
  say(byId('typing'), text);
}
