// Puts the parts together: who is signed in, which conversation the address names, what is shown.

import { Api } from './api.js';
import { Client } from './client/index.js';
import { byId, el, say, setText } from './dom.js';
import { Outbox } from './outbox.js';
import { Session } from './session.js';
import { Status } from './status.js';
import { Store } from './store.js';
import { backoff } from './timers.js';
import { AuthView } from './view-auth.js';
import { ChatView } from './view-chat.js';
import { CreateDialog, MembersDialog } from './view-dialogs.js';
import { ListView, showMe } from './view-list.js';

const STATUS = {
  connecting: 'Connecting…',
  connected: 'Connected',
  reconnecting: 'Reconnecting…',
  offline: 'Offline: messages are kept and sent later',
  stopped: '',
};
const HINT = 'Enter sends, Shift+Enter starts a new line';
const NOTICE_MS = 6_000;

const api = new Api({
  fetch: (...call) => fetch(...call),
  storage: sessionStorage,
  onSignedOut: (reason) => leave(reason),
});
const auth = new AuthView({ api, onEnter: enter });
let current = null;

// ---- signing in and out

async function enter() {
  const me = await api.me();
  auth.hide();
  byId('splash').hidden = true;
  byId('app').hidden = false;
  current = work(me);
  await current.session.start();
  current?.route();
}

function leave(reason = '') {
  current?.stop();
  current = null;
  byId('app').hidden = true;
  byId('splash').hidden = true;
  byId('notices').replaceChildren();
  document.title = 'ChatCluster';
  history.replaceState(null, '', location.pathname + location.search);
  auth.show(reason);
}

async function boot(attempt = 0) {
  if (!api.hasSession) {
    leave();
    return;
  }
  try {
    await enter();
  } catch (error) {
    // a refused refresh token has called leave() already
    if (!api.hasSession) return;
    if (!error.isOffline && error.status !== 429) {
      leave(error.message);
      return;
    }
    setText(byId('splash-text'), 'The server cannot be reached. Trying again…');
    setTimeout(() => boot(attempt + 1), 500 + backoff(attempt));
  }
}

// ---- one signed-in person

function work(me) {
  const store = new Store(me);
  const outbox = new Outbox({ storage: sessionStorage, owner: me.id });
  const session = new Session({
    api,
    store,
    outbox,
    open: (options) => new Client({ ...options, url: '/ws' }),
    onState: (state) => showStatus(status.take(state)),
    onNotice: notice,
    onMessage: (event) => announce(store, event, chat.openId),
    onSignedOut: () => api.signOut().finally(() => leave('Your session has ended. Please sign in again.')),
  });
  const chat = new ChatView({ session, onBack: () => visit(null), onMembers: () => members.open(chat.openId) });
  const list = new ListView({ store, outbox, onOpen: visit });
  const create = new CreateDialog({ session, onCreated: visit });
  const members = new MembersDialog({ session });
  const status = new Status({ isOnline: () => navigator.onLine });
  let frame = 0;

  function render() {
    frame = 0;
    if (chat.openId !== null && !store.get(chat.openId)) visit(null);
    const asked = addressed();
    if (asked !== chat.openId && store.get(asked)) {
      // the address was there before the list
      route();
      return;
    }
    list.render(chat.openId);
    chat.render();
    members.render();
    showWelcome(store, chat.openId);
    const unread = store.totalUnread();
    document.title = unread > 0 ? `(${unread}) ChatCluster` : 'ChatCluster';
  }

  function schedule() {
    frame ||= document.visibilityState === 'visible' ? requestAnimationFrame(render) : setTimeout(render, 100);
  }

  function route() {
    const id = addressed();
    const conversation = id === null ? null : store.get(id);
    if (conversation) chat.open(conversation);
    else chat.close();
    byId('app').dataset.screen = conversation ? 'chat' : 'list';
    render();
  }

  const unlisten = store.onChange(schedule);
  showMe(me);
  byId('new-conversation').onclick = () => create.open();
  for (const button of document.querySelectorAll('[data-new-conversation]')) button.onclick = () => create.open();
  byId('sign-out').onclick = async () => {
    outbox.clear();
    current?.stop();
    await api.signOut();
    leave();
  };
  render();

  return {
    session,
    route,
    seen: () => chat.timeline.markRead(),
    stop() {
      unlisten();
      session.stop();
      create.close();
      members.close();
      chat.stop();
    },
  };
}

// ---- the address: #/c/<conversation id>

function addressed() {
  const match = /^#\/c\/(.+)$/u.exec(location.hash);
  try {
    return match ? decodeURIComponent(match[1]) : null;
  } catch {
    return null;
  }
}

function visit(id) {
  const hash = id === null ? '' : `#/c/${encodeURIComponent(id)}`;
  if (location.hash === hash) return;
  history.pushState(null, '', hash || location.pathname + location.search);
  current?.route();
}

// ---- what is said in passing

function showStatus(state) {
  byId('status').dataset.state = state;
  setText(byId('status-text'), STATUS[state]);
  document.body.dataset.connection = state;
  // on a phone the status line is a screen away from the one who writes
  setText(byId('composer-hint'), state === 'connected' ? HINT : STATUS[state]);
}

function notice(text) {
  const node = el('p', { class: 'notice' }, text);
  byId('notices').append(node);
  setTimeout(() => node.remove(), NOTICE_MS);
}

function showWelcome(store, openId) {
  byId('welcome').hidden = openId !== null;
  const hasSome = store.conversations.size > 0;
  setText(byId('welcome-title'), hasSome ? 'Pick a conversation' : `Welcome, ${store.nameOf(store.me.id)}`);
  setText(
    byId('welcome-text'),
    hasSome
      ? 'Choose one from the list, or start a new one.'
      : 'Create a conversation, or open a second browser window and sign in as somebody else.',
  );
}

/** Reads new messages of others out to those who listen rather than look. */
function announce(store, event, openId) {
  const name = store.nameOf(event.senderId);
  const text = event.conversationId === openId ? `${name}: ${event.content}` : `New message from ${name}`;
  setText(byId('announcer'), text.slice(0, 300));
}

addEventListener('popstate', () => current?.route());
addEventListener('hashchange', () => current?.route());
addEventListener('focus', () => current?.seen());
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState !== 'visible') return;
  current?.session.client?.wake();
  current?.seen();
});

say(byId('splash-text'), 'Loading…');
boot();
