// Stand-ins for the browser and the server around the modules under test.

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

/** A clock that moves only when told to. */
export class FakeClock {
  #now = 0;
  #timers = new Map();
  #next = 1;

  now = () => this.#now;

  setTimeout = (action, delay) => {
    this.#timers.set(this.#next, { at: this.#now + delay, action });
    return this.#next++;
  };

  clearTimeout = (id) => this.#timers.delete(id);

  async advance(ms) {
    const end = this.#now + ms;
    for (;;) {
      await settle();
      const due = [...this.#timers].filter(([, { at }]) => at <= end).sort((a, b) => a[1].at - b[1].at)[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.#now = due[1].at;
      due[1].action();
    }
    this.#now = end;
    await settle();
  }
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

export class FakeSocket {
  sent = [];
  isClosed = false;

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.isClosed = true;
  }

  receive(frame) {
    this.onmessage({ data: JSON.stringify(frame) });
  }
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

/** A started session of `ann` on a server, with a connection that is up and shows what was written to it. */
export async function startSession(server, { storage = memoryStorage() } = {}) {
  const store = new Store({ id: 'ann', username: 'ann', displayName: 'Ann' });
  let count = 0;
  const outbox = new Outbox({ storage, owner: 'ann', newId: () => `id-${(count += 1)}` });
  const notices = [];
  const connection = {
    state: 'stopped',
    written: [],
    start() {
      this.up();
    },
    stop() {
      this.state = 'stopped';
    },
    up() {
      this.state = 'connected';
      this.receive({ type: 'CONNECTED', sessionId: 's', userId: 'ann', heartbeatMs: 25000 });
    },
    down() {
      this.state = 'reconnecting';
    },
    send(frame) {
      if (this.state !== 'connected') return false;
      this.written.push(frame);
      return true;
    },
    of(type) {
      return this.written.filter((frame) => frame.type === type);
    },
  };
  const session = new Session({
    api: server,
    store,
    outbox,
    connect: (handlers) => {
      connection.receive = handlers.onFrame;
      connection.resume = handlers.resume;
      return connection;
    },
    onNotice: (text) => notices.push(text),
  });
  await session.start();
  return { session, store, outbox, connection, notices, storage };
}
