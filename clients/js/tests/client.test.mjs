// The client over sockets that the test answers: connections, events, receipts, states.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client } from '../dist/index.js';
import { connectedClient, makeClient, memoryStorage, message } from './support/fakes.mjs';
import { settle } from './support/waiting.mjs';

const messages = (id, from, to) => Array.from({ length: to - from + 1 }, (_, index) => message(id, from + index));

test('CONNECT carries a token and where to go on', async () => {
  const { client, sockets, states } = await connectedClient({ resumeFrom: { seqs: { c: 7 }, position: '1;c=7;d=2' } });
  assert.deepEqual(sockets[0].sent[0], { type: 'CONNECT', token: 'token', resume: { c: 7 }, position: '1;c=7;d=2' });
  assert.deepEqual(states(), ['connecting', 'connected']);
  assert.equal(client.userId, 'ann');
  await client.close();
  assert.deepEqual(states(), ['connecting', 'connected', 'closed']);
});

test('a lost connection comes back and resumes after what was received', async () => {
  const { client, socket, clock, states, seen } = await connectedClient();
  socket().receive(...messages('c', 5, 9), { type: 'POSITION', position: '1;c=9' });
  socket().end(1006);
  assert.equal(client.state, 'offline');
  await clock.advance(400);
  assert.deepEqual(socket().url, 'ws://chat.example/ws');
  socket().accept();
  assert.deepEqual(socket().of('CONNECT')[0], { type: 'CONNECT', token: 'token', resume: { c: 9 }, position: '1;c=9' });
  // the server may repeat what it likes
  socket().receive(...messages('c', 8, 11));
  assert.deepEqual(seen, [5, 6, 7, 8, 9, 10, 11]);
  assert.deepEqual(states(), ['connecting', 'connected', 'offline', 'connecting', 'connected']);
  await client.close();
});

test('a hole makes it connect again; what never comes is told in its place', async () => {
  const { client, socket, sockets, seen } = await connectedClient();
  socket().receive(message('c', 1), message('c', 4), message('c', 5));
  await settle();
  assert.deepEqual(seen, [1]);
  assert.equal(sockets.length, 2);
  socket().accept();
  assert.deepEqual(socket().of('CONNECT')[0].resume, { c: 1 });
  socket().receive(...messages('c', 2, 5));
  assert.deepEqual(seen, [1, 2, 3, 4, 5]);

  socket().receive(message('c', 8));
  await settle();
  socket().accept();
  socket().receive(message('c', 8));
  assert.deepEqual(seen.slice(5), [[6, 7], 8]);
  await client.close();
});

test('RESYNC is told in its place, and waited for', async () => {
  const seen = [];
  let proceed;
  const options = {
    onEvent: ({ seq }) => void seen.push(seq),
    onMissed: (range) => {
      seen.push(range);
      return new Promise((resolve) => (proceed = resolve));
    },
  };
  const { client, socket, clock } = await connectedClient(options);
  socket().receive(message('c', 1), { type: 'RESYNC', conversationId: 'c', from: 2, head: 900 }, message('c', 901));
  await settle();
  assert.deepEqual(seen, [1, { conversationId: 'c', from: 2, to: 900 }]);
  await clock.advance(200);
  assert.deepEqual(socket().of('RECEIPT').at(-1).deliveredSeq, 1);
  proceed();
  await clock.advance(200);
  assert.equal(seen.at(-1), 901);
  assert.equal(socket().of('RECEIPT').at(-1).deliveredSeq, 901);
  await client.close();
});

test('only what the handler is done with is acknowledged, and resumed by another start', async () => {
  const ends = [];
  const storage = memoryStorage();
  const { client, socket, clock } = await connectedClient({ storage, onEvent: () => new Promise((resolve) => ends.push(resolve)) });
  socket().receive(...messages('c', 1, 3));
  await clock.advance(1_000);
  assert.deepEqual(socket().of('RECEIPT'), []);
  ends[0]();
  await clock.advance(1_000);
  assert.deepEqual(socket().of('RECEIPT'), [{ type: 'RECEIPT', conversationId: 'c', deliveredSeq: 1 }]);
  assert.deepEqual(client.resumePoint(), { seqs: { c: 1 } });
  const closed = client.close();
  ends[1]();
  await closed;
  assert.equal(ends.length, 2, 'nothing is handed out after the close');
  assert.deepEqual(socket().of('RECEIPT').at(-1).deliveredSeq, 2);
  const next = await connectedClient({ storage });
  assert.deepEqual(next.socket().of('CONNECT')[0].resume, { c: 2 });
  await next.client.close();
});

test('a handler that fails is told, and gets the event again', async () => {
  let failures = 2;
  const seen = [];
  const onEvent = ({ seq }) => {
    if (seq === 2 && failures-- > 0) throw new Error('database away');
    seen.push(seq);
  };
  const { client, socket, clock, heard } = await connectedClient({ onEvent });
  socket().receive(...messages('c', 1, 3));
  await clock.advance(10_000);
  assert.deepEqual(seen, [1, 2, 3]);
  assert.deepEqual(heard('error').map(({ code, conversationId }) => [code, conversationId]), Array(2).fill(['handler_failed', 'c']));
  assert.match(heard('error')[0].message, /event 2 of c .*database away/u);
  await client.close();
});

test('a handler that is too slow costs a connection, not memory and not an event', async () => {
  const seen = [];
  const waiting = [];
  const onEvent = ({ seq }) => new Promise((resolve) => waiting.push(() => resolve(seen.push(seq))));
  const { client, socket, sockets } = await connectedClient({ onEvent, intakeLimits: { items: 100 } });
  socket().receive(...messages('c', 1, 60));
  let answered = 1;
  while (seen.length < 60) {
    waiting.shift()?.();
    await settle();
    if (sockets.length === answered) continue;
    answered = sockets.length;
    socket().accept();
    socket().receive(...messages('c', socket().of('CONNECT')[0].resume.c + 1, 60));
  }
  assert.deepEqual(seen, messages('c', 1, 60).map(({ seq }) => seq));
  assert.ok(answered > 3 && answered < 20, `${answered} connections`);
  await client.close();
});

test('reading is acknowledged by call, offline too', async () => {
  const { client, socket, clock } = await connectedClient();
  socket().receive(message('c', 4));
  socket().end(1006);
  client.read('c', 4);
  await clock.advance(400);
  socket().accept();
  assert.deepEqual(socket().of('RECEIPT'), [{ type: 'RECEIPT', conversationId: 'c', deliveredSeq: 4, readSeq: 4 }]);
  assert.throws(() => client.read('c', -1), TypeError);
  await client.close();
});

test('what the application has from elsewhere is not handed out', async () => {
  const { client, socket, seen } = await connectedClient();
  client.advance('c', 5);
  socket().receive(...messages('c', 4, 7));
  assert.deepEqual(seen, [6, 7]);
  await client.close();
});

test('typing is passed on now and then, its end at once, and nothing of it offline', async () => {
  const { client, socket, clock } = await connectedClient();
  for (let key = 0; key < 10; key += 1) client.typing('c', true);
  await clock.advance(3_000);
  client.typing('c', true);
  client.typing('c', false);
  client.typing('c', false);
  assert.deepEqual(socket().of('TYPING').map(({ isTyping }) => isTyping), [true, true, false]);
  socket().end(1006);
  client.typing('c', true);
  await clock.advance(400);
  socket().accept();
  assert.deepEqual(socket().of('TYPING'), []);
  client.typing('c', true);
  assert.equal(socket().of('TYPING').length, 1);
  await client.close();
});

test('other frames come as events of their names', async () => {
  const { client, socket, heard } = await connectedClient();
  const frames = [
    { type: 'TYPING', conversationId: 'c', userId: 'bob', isTyping: true },
    { type: 'STATUS', messageId: 'm', conversationId: 'c', status: 'READ', userId: 'bob', timestamp: 't' },
    { type: 'PRESENCE', userId: 'bob', online: true },
    { type: 'NOTIFICATION', notification: { type: 'CONVERSATION_CREATED', relatedEntityId: 'd' } },
  ];
  socket().receive(...frames, { type: 'ERROR', code: 'not_a_member', message: 'no' }, { type: 'SOMETHING_NEW' });
  assert.deepEqual(frames.map(({ type }) => heard(type.toLowerCase())[0]), frames);
  assert.deepEqual(heard('refused').map(({ code }) => code), ['not_a_member']);
  await client.close();
});

test('a token is asked for at each connection, and a fresh one after a refusal', async () => {
  const asked = [];
  const token = async ({ refused }) => `token ${asked.push(refused)}`;
  const { client, socket, clock, heard } = await connectedClient({ token });
  await clock.advance(14_000);
  socket().end(4410, 'token_expired');
  await clock.advance(0);
  socket().accept();
  await settle();
  assert.equal(socket().of('CONNECT')[0].token, 'token 2');
  socket().end(1006);
  await clock.advance(400);
  assert.deepEqual(asked, [false, true, false]);
  for (let time = 0; time < 3; time += 1) {
    socket().receive({ type: 'ERROR', code: 'unauthenticated', message: 'the key is unknown' });
    socket().end(4401);
    await clock.advance(heard('state').at(-1).retryInMs ?? 0);
  }
  const { state, error } = heard('state').at(-1);
  assert.deepEqual([state, error.code, error.message], ['closed', 'unauthenticated', 'the key is unknown']);
  await assert.rejects(client.send('c', 'x'), { code: 'closed' });
  assert.equal(clock.running, 0);
});

test('a token function that fails is asked again', async () => {
  let failures = 2;
  const token = async () => {
    if (failures-- > 0) throw new Error('signed out?');
    return 'token';
  };
  const { client, sockets, clock, heard, states } = makeClient({ token });
  client.connect();
  await clock.advance(5_000);
  assert.equal(sockets.length, 1);
  assert.deepEqual(heard('error').map(({ code, message }) => [code, message]), Array(2).fill(['token_unavailable', 'no token: signed out?']));
  assert.deepEqual(states(), ['connecting', 'offline', 'connecting', 'offline', 'connecting']);
  await client.close();
});

test('a token function that never answers does not hold it up for ever', async () => {
  let asked = 0;
  const { client, clock, heard } = makeClient({ token: () => ((asked += 1), new Promise(() => {})) });
  client.connect();
  await clock.advance(31_000);
  assert.equal(asked, 2);
  assert.equal(heard('error')[0].code, 'token_unavailable');
  await client.close();
  assert.equal(clock.running, 0);
});

test('silence after a PING is a lost connection, and a handshake that hangs is one', async () => {
  const { client, socket, sockets, clock } = await connectedClient();
  await clock.advance(30_000);
  assert.equal(socket().of('PING').length, 1);
  socket().receive({ type: 'PONG' });
  await clock.advance(29_000);
  assert.equal(socket().of('PING').length, 1, 'who talks need not be asked');
  await clock.advance(1_000);
  assert.equal(client.state, 'connected');
  await clock.advance(10_000);
  assert.equal(sockets[0].isClosed, true);
  assert.equal(client.state, 'offline');
  await clock.advance(400);
  socket().onopen({});
  await clock.advance(15_000);
  assert.equal(sockets[1].isClosed, true);
  await client.close();
});

test('wake tries at once, and finds out whether a connection is still one', async () => {
  const { client, socket, sockets, clock } = await connectedClient();
  client.wake();
  await clock.advance(4_000);
  assert.equal(client.state, 'offline');
  client.wake();
  await settle();
  assert.equal(sockets.length, 2);
  socket().accept();
  assert.equal(client.state, 'connected');
  await client.close();
});

test('after the close nothing runs, and nothing late is heard', async () => {
  const { client, sockets, clock, seen, states } = await connectedClient();
  client.send('c', 'x').catch(() => {});
  const [socket] = sockets;
  const late = socket.onmessage;
  await client.close();
  late({ data: JSON.stringify(message('c', 1)) });
  socket.onclose?.({ code: 1006 });
  await clock.advance(60_000);
  assert.deepEqual(seen, []);
  assert.equal(states().at(-1), 'closed');
  assert.equal(clock.running, 0);
  assert.equal(sockets.length, 1);
  assert.throws(() => client.connect(), { code: 'closed' });
  assert.equal(client.close(), client.close());
});

test('a close while connecting ends the attempt', async () => {
  const { client, sockets, clock } = makeClient();
  client.connect();
  await client.close();
  await settle();
  assert.ok(sockets.every(({ isClosed }) => isClosed));
  assert.equal(clock.running, 0);
});

test('listeners end when told, and one that throws breaks nothing', async (t) => {
  const { client, socket, heard: said } = await connectedClient();
  const written = t.mock.method(console, 'error', () => {});
  client.on('error', () => {
    throw new Error('mine too');
  });
  const heard = [];
  client.on('typing', () => {
    throw new Error('mine');
  });
  const end = client.on('typing', ({ userId }) => heard.push(userId));
  const typing = { type: 'TYPING', conversationId: 'c', userId: 'bob', isTyping: true };
  socket().receive(typing);
  end();
  socket().receive(typing);
  assert.deepEqual(heard, ['bob']);
  assert.deepEqual(said('error').map(({ code }) => code), Array(2).fill('listener_failed'));
  assert.equal(written.mock.callCount(), 2, 'what nobody could be told');
  await client.close();
});

test('options that cannot work are refused by name', () => {
  const good = { url: 'wss://chat.example/ws', token: 't', WebSocket: class {}, onEvent() {}, onMissed() {} };
  const bad = {
    url: ['nonsense', 'ftp://chat.example/'],
    token: ['', undefined],
    onEvent: [undefined],
    onMissed: [undefined],
    resumeFrom: [{ seqs: { c: -1 } }, { seqs: { 'a b': 1 } }],
    maxContentBytes: [0],
    outboxLimits: [{ messages: Number.NaN }],
    backoff: [{ baseMs: -1 }],
  };
  for (const [name, values] of Object.entries(bad)) {
    for (const value of values) {
      assert.throws(() => new Client({ ...good, [name]: value }), (error) => error instanceof TypeError && error.message.startsWith(name));
    }
  }
  new Client(good);
});

test('in a browser the network and the page are listened to, until the close', async (t) => {
  const listeners = new Map();
  globalThis.addEventListener = (type, listener, { signal }) => {
    listeners.set(type, listener);
    signal.addEventListener('abort', () => listeners.delete(type));
  };
  t.after(() => delete globalThis.addEventListener);
  const storage = memoryStorage();
  const { client, sockets, socket } = await connectedClient({ storage });
  socket().end(1006);
  listeners.get('online')();
  await settle();
  assert.equal(sockets.length, 2);
  client.send('c', 'kept', { clientMsgId: 'x1' });
  listeners.get('pagehide')();
  await settle();
  assert.match(storage.items.get('chatcluster.outbox'), /kept/u);
  await client.close();
  assert.equal(listeners.size, 0);
});

test('a handler that outlasts the close counts for nothing, and writes over nobody', async () => {
  const storage = memoryStorage();
  let end;
  const { client, socket, clock } = await connectedClient({ storage, onEvent: () => new Promise((resolve) => (end = resolve)) });
  client.advance('c', 1);
  socket().receive(message('c', 2));
  const closed = client.close({ waitMs: 50 });
  await clock.advance(50);
  await closed;
  const written = storage.items.get('chatcluster.resume');
  storage.items.clear();
  end();
  await clock.advance(1_000);
  assert.equal(JSON.parse(written).value.seqs.c, 1);
  assert.equal(storage.items.size, 0);
  assert.equal(clock.running, 0);
});

test('what was written before the first connect survives the close, beside what was there', async () => {
  const storage = memoryStorage();
  for (const content of ['one', 'two']) {
    const { client } = makeClient({ storage });
    client.send('c', content);
    await client.close();
  }
  const { client, socket } = await connectedClient({ storage });
  assert.deepEqual(client.pending().map(({ content }) => content), ['one', 'two']);
  assert.equal(socket().of('SEND')[0].content, 'one');
  await client.close();
});
