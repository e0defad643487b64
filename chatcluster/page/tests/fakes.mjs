// Stand-ins for the browser and the server around the modules under test.

import { Client } from '../client/index.js';
import { Outbox } from '../outbox.js';
import { Session } from '../session.js';
import { Store } from '../store.js';

export function memoryStorage() {
  const items = new Map();
  return {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => items.set(key, String(value)),
    removeItem: (key) => items.delete(key),
  };
}

/** Lets every promise that can go on do so. */
export function settle() {
  return new Promise((resolve) => setImmediate(resolve));
}

export async function until(condition) {
  const end = Date.now() + 3000;
  while (!condition()) {
    if (Date.now() > end) throw new Error('the awaited condition did not come');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** What stands for the WebSocket: the test is the server at its other end. */
function fakeWebSockets() {
  const sockets = [];
  class FakeSocket {
    sent = [];

    constructor() {
      sockets.push(this);
    }

    send(text) {
      this.sent.push(JSON.parse(text));
    }

    close() {}

    receive(frame) {
      this.onmessage?.({ data: JSON.stringify(frame) });
    }
  }
  return { sockets, FakeSocket };
}

/** A log on a server, readable by the calls the page makes. */
export class FakeServer {
  conversations_ = [];
  logs = new Map();
  calls = [];

  add(summary, events = []) {
    this.conversations_.push(summary);
    this.logs.set(summary.id, events);
  }

  async conversations() {
    this.calls.push('conversations');
    return structuredClone(this.conversations_);
  }

  async events(id, { after, limit }) {
    this.calls.push(`events after ${after}`);
    return this.logs.get(id).filter((event) => event.seq > after).slice(0, limit);
  }

  async messages(id, { before, limit }) {
    this.calls.push(`messages before ${before}`);
    return this.logs.get(id).filter((event) => event.type === 'MESSAGE' && event.seq < before).slice(-limit);
  }

  async members() {
    return [];
  }

  async receipts() {
    return [];
  }

  async user(id) {
    return { id, username: id, displayName: id };
  }

  async token() {
    return 'token';
  }
}

export function message(conversationId, seq, senderId = 'bob', more = {}) {
  return {
    type: 'MESSAGE',
    conversationId,
    seq,
    messageId: `m${seq}`,
    clientMsgId: `${senderId}-${seq}`,
    senderId,
    content: `message ${seq}`,
    createdAt: '2026-01-02T03:04:05.678Z',
    ...more,
  };
}

export function messages(conversationId, from, to) {
  return Array.from({ length: to - from + 1 }, (_, index) => message(conversationId, from + index));
}

const started = [];

/** Nothing of a test runs on behind it. */
export function stopSessions() {
  for (const session of started.splice(0)) session.stop();
}

/** A started session of `ann` on a server, with a connection that is up and shows what was written to it. */
export async function startSession(server, { storage = memoryStorage() } = {}) {
  const store = new Store({ id: 'ann', username: 'ann', displayName: 'Ann' });
  let count = 0;
  const outbox = new Outbox({ storage, owner: 'ann', newId: () => `id-${(count += 1)}` });
  const notices = [];
  const states = [];
  const { sockets, FakeSocket } = fakeWebSockets();
  const connection = {
    receive: (frame) => sockets.at(-1).receive(frame),
    async up() {
      const known = sockets.filter(({ wasUsed }) => wasUsed).length;
      await until(() => sockets.length > known);
      const socket = sockets.at(-1);
      socket.wasUsed = true;
      socket.onopen({});
      socket.receive({ type: 'CONNECTED', sessionId: 's', userId: 'ann', heartbeatMs: 25000 });
    },
    down: (code = 1006) => sockets.at(-1).onclose({ code, reason: '' }),
    of: (type) => sockets.flatMap(({ sent }) => sent).filter((frame) => frame.type === type),
  };
  const session = new Session({
    api: server,
    store,
    outbox,
    open: (options) =>
      new Client({ ...options, url: 'ws://chat.example/ws', WebSocket: FakeSocket, backoff: { baseMs: 1, capMs: 5 } }),
    onState: (state) => states.push(state),
    onNotice: (text) => notices.push(text),
  });
  started.push(session);
  await session.start();
  await connection.up();
  return { session, store, outbox, connection, notices, states, storage };
}
