// The open conversation: its head, its timeline and the field to write in.

import { byId, paintAvatar, say, setText } from './dom.js';
import { nameList } from './text.js';
import { conversationAvatar } from './view-list.js';
import { TimelineView, showTyping } from './view-timeline.js';

/** The server's limit on one message, in bytes of UTF-8. */
const MAX_BYTES = 64 * 1024;

export class ChatView {
  #conversation = null;
  #drafts = new Map();
  #draft = byId('draft');

  constructor({ session, onBack, onMembers }) {
    this.session = session;
    this.store = session.store;
    this.timeline = new TimelineView({ session });
    byId('back').onclick = onBack;
    byId('members-open').onclick = onMembers;
    byId('composer').onsubmit = (event) => {
      event.preventDefault();
      this.#send();
    };
    this.#draft.onkeydown = (event) => this.#key(event);
    this.#draft.oninput = () => this.#typed();
  }

  get openId() {
    return this.#conversation?.id ?? null;
  }

  stop() {
    this.close();
    this.timeline.stop();
  }

  open(conversation) {
    if (this.#conversation === conversation) return;
    this.close();
    this.#conversation = conversation;
    byId('chat').hidden = false;
    this.#draft.value = this.#drafts.get(conversation.id) ?? '';
    say(byId('composer-error'), '');
    this.#fit();
    this.render();
    this.timeline.open(conversation);
    // on a phone the keyboard would cover half of what one came to read
    if (matchMedia('(pointer: fine)').matches) this.#draft.focus();
    else byId('chat-title').focus({ preventScroll: true });
  }

  close() {
    const conversation = this.#conversation;
    if (!conversation) return;
    this.#drafts.set(conversation.id, this.#draft.value);
    this.#draft.value = '';
    this.session.close(conversation.id);
    this.timeline.close();
    this.#conversation = null;
    byId('chat').hidden = true;
  }

  render() {
    const conversation = this.#conversation;
    if (!conversation) return;
    setText(byId('chat-title'), this.store.titleOf(conversation));
    setText(byId('chat-subtitle'), this.#subtitle(conversation));
    paintAvatar(byId('chat-avatar'), conversationAvatar(this.store, conversation));
    showTyping(this.store, conversation);
    this.timeline.render();
    this.timeline.markRead();
  }

  #subtitle(conversation) {
    const others = this.store.othersOf(conversation);
    if (conversation.kind === 'dm') {
      const user = others.length === 1 ? this.store.users.get(others[0]) : null;
      if (!user?.username) return 'Direct conversation';
      return this.store.online.get(user.id) === true ? `@${user.username}, online` : `@${user.username}`;
    }
    const count = conversation.members.size;
    const kind = conversation.kind === 'channel' ? 'Channel' : 'Group';
    if (count === 0) return kind;
    if (!conversation.name || count > 4) return `${kind}, ${count} ${count === 1 ? 'member' : 'members'}`;
    return nameList(['You', ...others.map((id) => this.store.nameOf(id))], 4);
  }

  #key(event) {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.#send();
  }

  #typed() {
    this.#fit();
    const { value } = this.#draft;
    say(byId('composer-error'), this.#tooLong(value));
    this.session.signals.typed(this.#conversation.id, value.trim() !== '');
  }

  #tooLong(text) {
    if (text.length * 3 <= MAX_BYTES) return '';
    const bytes = new TextEncoder().encode(text).length;
    return bytes > MAX_BYTES ? `This message is too long by ${bytes - MAX_BYTES} bytes.` : '';
  }

  #send() {
    const content = this.#draft.value.trim();
    if (!this.#conversation || content === '' || this.#tooLong(content)) return;
    try {
      this.session.send(this.#conversation.id, content);
    } catch (error) {
      say(byId('composer-error'), error.message);
      return;
    }
    this.#draft.value = '';
    this.#fit();
    this.timeline.sent();
    this.#draft.focus();
  }

  /** The field grows with its text, up to the limit the style sheet sets. */
  #fit() {
    const { style } = this.#draft;
    style.height = 'auto';
    style.height = `${this.#draft.scrollHeight}px`;
    byId('send').disabled = this.#draft.value.trim() === '';
  }
}
