// A clock that moves only when told to, and sockets whose other end is the test.

import { Client } from '../../dist/index.js';
import { settle } from './waiting.mjs';

export class FakeClock {
  #now = 1_000_000;
  #timers = new Map();
  #next = 1;

  now = () => this.#now;

  setTimeout = (action, delay) => {
    this.#timers.set(this.#next, { at: this.#now + delay, action });
    return this.#next++;
  };

  clearTimeout = (id) => this.#timers.delete(id);

  /** Timers that are running. */
  get running() {
    return this.#timers.size;
  }

  async advance(ms) {
    const end = this.#now + ms;
    for (;;) {
      await settle();
      const [id, due] = [...this.#timers].filter(([, { at }]) => at <= end).sort((a, b) => a[1].at - b[1].at)[0] ?? [];
      if (!due) break;
      this.#timers.delete(id);
      this.#now = due.at;
      due.action();
    }
    this.#now = end;
    await settle();
  }
}

/** The constructor of sockets that a test answers; `sockets` are those that were made. */
export function fakeWebSockets() {
  const sockets = [];
  class FakeSocket {
    sent = [];
    isClosed = false;

    constructor(url) {
      this.url = url;
      sockets.push(this);
    }

    send(text) {
      if (this.isClosed) throw new Error('not open');
      this.sent.push(JSON.parse(text));
    }

    close() {
      this.isClosed = true;
    }

    of(type) {
      return this.sent.filter((frame) => frame.type === type);
    }

    receive(...frames) {
      for (const frame of frames) this.onmessage?.({ data: JSON.stringify(frame) });
    }

    /** Opens, and accepts the CONNECT. */
    accept(userId = 'ann') {
      this.onopen({});
      this.receive({ type: 'CONNECTED', sessionId: 's', userId, heartbeatMs: 25_000 });
    }

    /** The server closes it. */
    end(code, reason = '') {
      this.isClosed = true;
      this.onclose?.({ code, reason });
    }
  }
  return { sockets, WebSocket: FakeSocket };
}

/** A client that was connected once, on a fake clock and fake sockets. */
export async function connectedClient(options = {}) {
  const made = makeClient(options);
  made.client.connect();
  await settle();
  made.socket().accept();
  await settle();
  return made;
}

export function makeClient(options = {}) {
  const clock = new FakeClock();
  const { sockets, WebSocket } = fakeWebSockets();
  const seen = [];
  const heard = [];
  const client = new Client({
    url: 'ws://chat.example/ws',
    token: async () => 'token',
    WebSocket,
    clock,
    random: () => 1,
    onEvent: (event) => void seen.push(event.seq),
    onMissed: ({ from, to }) => void seen.push([from, to]),
    ...options,
  });
  for (const type of ['state', 'sent', 'failed', 'typing', 'status', 'presence', 'notification', 'refused', 'error']) {
    client.on(type, (value) => heard.push([type, value]));
  }
  return {
    client,
    clock,
    sockets,
    seen,
    socket: () => sockets.at(-1),
    heard: (type) => heard.filter(([name]) => name === type).map(([, value]) => value),
    states: () => heard.filter(([name]) => name === 'state').map(([, { state }]) => state),
  };
}

export function message(conversationId, seq, more = {}) {
  const at = { createdAt: '2026-01-02T03:04:05.678Z' };
  return { type: 'MESSAGE', conversationId, seq, messageId: `m${seq}`, clientMsgId: `x${seq}`, senderId: 'bob', content: `${seq}`, ...at, ...more };
}

export const ack = ({ clientMsgId, conversationId }, seq) => ({ type: 'ACK', clientMsgId, messageId: `m${seq}`, conversationId, seq });

export function memoryStorage() {
  const items = new Map();
  return { items, getItem: (key) => items.get(key) ?? null, setItem: (key, value) => void items.set(key, value) };
}
