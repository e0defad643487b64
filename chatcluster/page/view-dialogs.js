// The two dialogs: a new conversation, and the members of the open one.

import { ApiError } from './api.js';
import { byId, el, icon, paintAvatar, reconcile, say, setText } from './dom.js';

/** Looks a username up; the error's message is fit to be shown. */
async function findPerson(api, typed) {
  const username = typed.trim().replace(/^@/u, '');
  if (username === '') throw new ApiError(422, 'missing_field', 'Enter a username.');
  try {
    return await api.userByName(username);
  } catch (error) {
    if (error.status === 404) throw new ApiError(404, error.code, `Nobody here is called “${username}”.`);
    throw error;
  }
}

function closable(dialog) {
  for (const button of dialog.querySelectorAll('[data-close]')) button.onclick = () => dialog.close();
  // a click on the dialog itself is one on its backdrop: its body fills it
  dialog.onclick = (event) => {
    if (event.target === dialog) dialog.close();
  };
}

export class CreateDialog {
  #dialog = byId('create-dialog');
  #people = new Map();

  /** `onCreated(conversationId)` */
  constructor({ session, onCreated }) {
    this.session = session;
    this.onCreated = onCreated;
    closable(this.#dialog);
    byId('create-form').onsubmit = (event) => {
      event.preventDefault();
      this.#create();
    };
    byId('create-form').onchange = (event) => {
      if (event.target.name === 'kind') this.#show();
    };
    byId('create-add').onclick = () => this.#add();
    byId('create-person').onkeydown = (event) => {
      if (event.key !== 'Enter' || event.isComposing || byId('create-person').value.trim() === '') return;
      event.preventDefault();
      if (this.#kind === 'dm') this.#create();
      else this.#add();
    };
  }

  open() {
    this.#people.clear();
    byId('create-form').reset();
    say(byId('create-error'), '');
    this.#show();
    this.#dialog.showModal();
    byId('create-person').focus();
  }

  close() {
    this.#dialog.close();
  }

  get #kind() {
    return new FormData(byId('create-form')).get('kind');
  }

  #show() {
    const kind = this.#kind;
    byId('create-name-field').hidden = kind === 'dm';
    setText(byId('create-people-label'), kind === 'dm' ? 'Person' : 'People');
    byId('create-add').hidden = kind === 'dm';
    byId('create-people').hidden = kind === 'dm' || this.#people.size === 0;
    reconcile(
      byId('create-people'),
      [...this.#people.values()].map((user) => ({ key: user.id, signature: user.username, make: () => this.#chip(user) })),
    );
  }

  #chip(user) {
    const name = user.displayName || user.username;
    const remove = () => {
      this.#people.delete(user.id);
      this.#show();
      byId('create-person').focus();
    };
    return el(
      'li',
      { class: 'chip' },
      name,
      el('button', { type: 'button', 'aria-label': `Remove ${name}`, onclick: remove }, icon('close')),
    );
  }

  async #add() {
    const input = byId('create-person');
    try {
      const user = await findPerson(this.session.api, input.value);
      if (user.id !== this.session.store.me.id) this.#people.set(user.id, user);
      input.value = '';
      say(byId('create-error'), '');
      this.#show();
    } catch (error) {
      say(byId('create-error'), error.message);
      input.select();
    }
    input.focus();
  }

  async #create() {
    const button = byId('create-submit');
    if (button.disabled) return;
    button.disabled = true;
    say(byId('create-error'), '');
    try {
      const kind = this.#kind;
      const typed = byId('create-person').value.trim();
      const people = kind === 'dm' ? new Map() : new Map(this.#people);
      if (typed !== '' || kind === 'dm') {
        const user = await findPerson(this.session.api, typed);
        people.set(user.id, user);
      }
      people.delete(this.session.store.me.id);
      const name = kind === 'dm' ? '' : byId('create-name').value.trim();
      const complaint = this.#complaint(kind, name, people);
      if (complaint) throw new ApiError(422, 'missing_field', complaint);
      for (const user of people.values()) this.session.store.addUser(user);
      const id = await this.session.create({ kind, name, memberIds: [...people.keys()] });
      this.#dialog.close();
      this.onCreated(id);
    } catch (error) {
      say(byId('create-error'), error.message);
    } finally {
      button.disabled = false;
    }
  }

  #complaint(kind, name, people) {
    if (kind === 'dm' && people.size === 0) return 'That is you. Enter the username of somebody else.';
    if (kind === 'channel' && name === '') return 'A channel needs a name.';
    if (kind === 'group' && people.size === 0) return 'Add at least one person.';
    return null;
  }
}

export class MembersDialog {
  #dialog = byId('members-dialog');
  #id = null;

  constructor({ session }) {
    this.session = session;
    closable(this.#dialog);
    byId('add-form').onsubmit = (event) => {
      event.preventDefault();
      this.#add();
    };
    byId('leave').onclick = () => this.#try(() => this.session.removeMember(this.#id, this.session.store.me.id));
  }

  open(id) {
    this.#id = id;
    byId('add-form').reset();
    say(byId('members-error'), '');
    this.render();
    this.#dialog.showModal();
  }

  close() {
    this.#dialog.close();
  }

  render() {
    if (this.#id === null) return;
    const { store } = this.session;
    const conversation = store.get(this.#id);
    if (!conversation) {
      this.#id = null;
      this.#dialog.close();
      return;
    }
    const isDirect = conversation.kind === 'dm';
    byId('add-form').hidden = isDirect;
    byId('leave').hidden = isDirect;
    const ids = [...conversation.members].sort((a, b) => store.nameOf(a).localeCompare(store.nameOf(b)));
    reconcile(byId('members'), ids.map((id) => this.#member(id, isDirect)));
  }

  #member(id, isDirect) {
    const { store } = this.session;
    const name = store.nameOf(id);
    const username = store.users.get(id)?.username;
    const isMe = id === store.me.id;
    const remove = () => this.#try(() => this.session.removeMember(this.#id, id));
    return {
      key: id,
      signature: JSON.stringify([name, username]),
      make: () =>
        el(
          'li',
          {},
          paintAvatar(el('span', { class: 'avatar small', 'aria-hidden': 'true' }), { id, name }),
          el('span', { class: 'me' }, el('strong', {}, isMe ? `${name} (you)` : name), el('span', {}, username ? `@${username}` : '')),
          !isMe && !isDirect && el('button', { type: 'button', class: 'link', 'aria-label': `Remove ${name}`, onclick: remove }, 'Remove'),
        ),
    };
  }

  #add() {
    const input = byId('add-person');
    return this.#try(async () => {
      const user = await findPerson(this.session.api, input.value);
      this.session.store.addUser(user);
      await this.session.addMember(this.#id, user.id);
      input.value = '';
      input.focus();
    });
  }

  async #try(action) {
    say(byId('members-error'), '');
    try {
      await action();
    } catch (error) {
      say(byId('members-error'), error.message);
    }
  }
}
