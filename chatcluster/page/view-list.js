// The list of conversations.

import { byId, el, paintAvatar, reconcile, setText } from './dom.js';
import { nameList, shortTime } from './text.js';

const KIND_MARK = { channel: '#' };

/** The avatar of a conversation: a channel's mark, else the colours and initials of the other person or the name. */
export function conversationAvatar(store, conversation) {
  const others = store.othersOf(conversation);
  const id = conversation.kind === 'dm' && others.length === 1 ? others[0] : conversation.id;
  return { id, name: store.titleOf(conversation), mark: KIND_MARK[conversation.kind] };
}

export class ListView {
  #store;
  #openId = null;

  constructor({ store, outbox, onOpen }) {
    this.#store = store;
    this.outbox = outbox;
    this.onOpen = onOpen;
    byId('conversations').onkeydown = (event) => this.#move(event);
  }

  render(openId) {
    this.#openId = openId;
    const conversations = this.#store.sorted();
    byId('list-empty').hidden = conversations.length > 0;
    reconcile(byId('conversations'), conversations.map((conversation) => this.#item(conversation)));
  }

  #item(conversation) {
    const title = this.#store.titleOf(conversation);
    const preview = this.#preview(conversation);
    const time = conversation.last?.at ? shortTime(new Date(conversation.last.at)) : '';
    const isOpen = conversation.id === this.#openId;
    const { unread } = conversation;
    const avatar = conversationAvatar(this.#store, conversation);
    const isTyping = conversation.typing.size > 0;
    const isOnline = conversation.kind === 'dm' && this.#store.online.get(avatar.id) === true;
    return {
      key: conversation.id,
      signature: JSON.stringify([title, preview, time, isOpen, unread, avatar, isTyping, isOnline]),
      make: () =>
        el(
          'li',
          {},
          el(
            'button',
            {
              type: 'button',
              class: unread > 0 ? 'conversation unread' : 'conversation',
              'aria-current': isOpen ? 'true' : null,
              onclick: () => this.onOpen(conversation.id),
            },
            paintAvatar(el('span', { class: isOnline ? 'avatar online' : 'avatar', 'aria-hidden': 'true' }), avatar),
            el(
              'span',
              { class: 'conversation-text' },
              el('span', { class: 'conversation-title' }, title),
              el('span', { class: isTyping ? 'preview live' : 'preview' }, preview),
            ),
            el(
              'span',
              { class: 'conversation-side' },
              el('span', { class: 'conversation-time' }, time),
              unread > 0 &&
                el('span', { class: 'badge' }, unread > 99 ? '99+' : String(unread), el('span', { class: 'hidden-label' }, ' unread')),
            ),
          ),
        ),
    };
  }

  #preview(conversation) {
    const { typing, last, kind } = conversation;
    if (typing.size > 0) {
      const names = [...typing].map((id) => this.#store.nameOf(id));
      return kind === 'dm' ? 'typing…' : `${nameList(names, 2)} typing…`;
    }
    const waiting = this.outbox.of(conversation.id).findLast(({ state }) => state !== 'failed');
    if (waiting) return `You: ${waiting.content}`.slice(0, 120);
    if (!last) return conversation.position === 0 ? 'No messages yet' : '';
    const text = last.isDeleted ? 'Message deleted' : last.content;
    const isMine = last.senderId === this.#store.me.id;
    const prefix = isMine ? 'You: ' : kind === 'dm' ? '' : `${this.#store.nameOf(last.senderId)}: `;
    return (prefix + text).slice(0, 120);
  }

  #move(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const buttons = [...byId('conversations').querySelectorAll('button')];
    buttons[buttons.indexOf(document.activeElement) + step]?.focus();
  }
}

/** Who is signed in. */
export function showMe(me) {
  const name = me.displayName || me.username;
  paintAvatar(byId('me-avatar'), { id: me.id, name });
  setText(byId('me-name'), name);
  setText(byId('me-username'), me.username ? `@${me.username}` : '');
}
