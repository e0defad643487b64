import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';

import { ApiError } from '../api.js';
import { Outbox } from '../outbox.js';
import { FakeServer, memoryStorage, message, messages, settle, startSession, stopSessions, until } from './fakes.mjs';

afterEach(stopSessions);

const contents = (store, id = 'c') => store.get(id).rows.map(({ seq }) => seq);

function serverWith(events, summary = {}) {
  const server = new FakeServer();
  server.add({ id: 'c', kind: 'group', name: 'c', lastSeq: 0, readSeq: 0, unread: 0, ...summary }, events);
  return server;
}

test('repeats are dropped and each message is shown once', async () => {
  const { store, connection } = await startSession(serverWith([]));
  for (const seq of [1, 1, 2, 1, 2, 3]) connection.receive(message('c', seq));
  assert.deepEqual(contents(store), [1, 2, 3]);
  assert.equal(store.get('c').unread, 3);
});

test('the client goes on from what the list says', async () => {
  const server = serverWith(messages('c', 1, 5), { lastSeq: 5 });
  const { connection, store } = await startSession(server);
  assert.deepEqual(connection.of('CONNECT')[0].resume, { c: 5 });
  connection.receive(message('c', 6));
  connection.down();
  await connection.up();
  assert.deepEqual(connection.of('CONNECT')[1].resume, { c: 6 });
  assert.deepEqual(contents(store), [6]);
});

test('a short RESYNC is fetched in its place, a long one starts the timeline anew after the head', async () => {
  const server = serverWith(messages('c', 1, 2000));
  const { session, store, connection } = await startSession(server);
  connection.receive({ type: 'RESYNC', conversationId: 'c', from: 1, head: 3 });
  connection.receive(message('c', 4));
  await until(() => contents(store).length === 4);
  assert.deepEqual(contents(store), [1, 2, 3, 4]);

  connection.receive({ type: 'RESYNC', conversationId: 'c', from: 5, head: 1999 });
  connection.receive(message('c', 2000));
  await until(() => contents(store).length === 1);
  assert.deepEqual(contents(store), [2000]);
  await session.loadOlder('c');
  assert.equal(contents(store).length, 51);
  assert.equal(contents(store)[0], 1950);
});

test('what the log does not hold any more is passed over', async () => {
  const server = serverWith(messages('c', 3, 6));
  const { store, connection } = await startSession(server);
  connection.receive({ type: 'RESYNC', conversationId: 'c', from: 1, head: 5 });
  connection.receive(message('c', 6));
  await until(() => contents(store).length === 4);
  assert.deepEqual(contents(store), [3, 4, 5, 6]);
});

test('a fetch that fails is tried again, and what is behind it waits', async () => {
  const server = serverWith(messages('c', 1, 3));
  const real = server.events.bind(server);
  let failures = 1;
  server.events = (...call) => (failures-- > 0 ? Promise.reject(new ApiError(503, 'unavailable', 'away')) : real(...call));
  const { store, connection } = await startSession(server);
  connection.receive({ type: 'RESYNC', conversationId: 'c', from: 1, head: 3 });
  connection.receive(message('c', 4));
  assert.deepEqual(contents(store), []);
  await until(() => contents(store).length === 4);
});

test('events of a conversation that is not in the list yet bring the list, and nothing is shown twice', async () => {
  const server = new FakeServer();
  const { session, store, connection } = await startSession(server);
  server.add({ id: 'new', kind: 'dm', lastSeq: 2, readSeq: 0, unread: 2 }, messages('new', 1, 3));
  for (const seq of [1, 2, 3]) connection.receive(message('new', seq));
  await until(() => store.get('new')?.rows.length === 1);
  assert.deepEqual(contents(store, 'new'), [3]);
  assert.equal(store.get('new').unread, 3);
  await session.open('new');
  assert.deepEqual(contents(store, 'new'), [1, 2, 3]);
});

test('a notification of a new conversation brings the list', async () => {
  const server = new FakeServer();
  const { store, connection } = await startSession(server);
  server.add({ id: 'new', kind: 'dm', lastSeq: 0, readSeq: 0, unread: 0 });
  connection.receive({ type: 'NOTIFICATION', notification: { type: 'CONVERSATION_CREATED', relatedEntityId: 'new' } });
  await until(() => store.get('new'));
});

test('what is written offline goes out after the reconnect, in order, and again with the same id until it is answered', async () => {
  const { session, outbox, connection } = await startSession(serverWith([]));
  connection.down();
  session.send('c', 'one');
  session.send('c', 'two');
  assert.equal(connection.of('SEND').length, 0);
  await connection.up();
  assert.deepEqual(connection.of('SEND').map(({ content }) => content), ['one']);
  connection.receive({ type: 'ACK', clientMsgId: 'id-1', messageId: 'm1', conversationId: 'c', seq: 1 });
  assert.deepEqual(connection.of('SEND').map(({ content }) => content), ['one', 'two']);
  connection.down();
  await connection.up();
  assert.deepEqual(connection.of('SEND').map(({ clientMsgId }) => clientMsgId), ['id-1', 'id-2', 'id-2']);
  connection.receive(message('c', 1, 'ann', { clientMsgId: 'id-1' }));
  connection.receive(message('c', 2, 'ann', { clientMsgId: 'id-2' }));
  assert.deepEqual(outbox.of('c'), []);
});

test('MESSAGE before ACK and ACK before MESSAGE end the same way', async () => {
  const { session, store, outbox, connection } = await startSession(serverWith([]));
  session.send('c', 'one');
  session.send('c', 'two');
  connection.receive(message('c', 1, 'ann', { clientMsgId: 'id-1' }));
  connection.receive({ type: 'ACK', clientMsgId: 'id-1', messageId: 'm1', conversationId: 'c', seq: 1 });
  connection.receive({ type: 'ACK', clientMsgId: 'id-2', messageId: 'm2', conversationId: 'c', seq: 2 });
  await settle();
  assert.deepEqual(outbox.of('c').map(({ state }) => state), ['sent']);
  connection.receive(message('c', 2, 'ann', { clientMsgId: 'id-2' }));
  assert.deepEqual(outbox.of('c'), []);
  assert.deepEqual(contents(store), [1, 2]);
  assert.equal(store.get('c').unread, 0, 'own messages are not unread');
});

test('a refused message fails with its reason and a retry keeps its id', async () => {
  const { session, outbox, connection } = await startSession(serverWith([]));
  session.send('c', 'one');
  connection.receive({ type: 'ERROR', code: 'invalid_field', message: 'too odd', clientMsgId: 'id-1' });
  await settle();
  assert.equal(outbox.get('id-1').state, 'failed');
  assert.equal(outbox.get('id-1').error, 'Too odd.');
  session.sending.retry('id-1');
  assert.deepEqual(connection.of('SEND').map(({ clientMsgId }) => clientMsgId), ['id-1', 'id-1']);
});

test('unsent messages survive a reload, of the same person only', async () => {
  const storage = memoryStorage();
  const first = await startSession(serverWith([]), { storage });
  first.connection.down();
  first.session.send('c', 'kept');
  first.session.stop();
  await settle();
  assert.equal(first.outbox.get('id-1').state, 'pending');
  const second = await startSession(serverWith([]), { storage });
  assert.deepEqual(second.connection.of('SEND').map(({ clientMsgId, content }) => [clientMsgId, content]), [['id-1', 'kept']]);
  assert.deepEqual(new Outbox({ storage, owner: 'bob' }).pending(), []);
});

test('receipts say what was handled and what was read, after the reconnect too', async () => {
  const { session, store, connection } = await startSession(serverWith([]));
  connection.receive(message('c', 1));
  connection.receive(message('c', 2));
  await until(() => connection.of('RECEIPT').length === 1);
  assert.deepEqual(connection.of('RECEIPT')[0], { type: 'RECEIPT', conversationId: 'c', deliveredSeq: 2 });
  connection.down();
  session.read('c', 2);
  assert.equal(store.get('c').unread, 0);
  await connection.up();
  assert.deepEqual(connection.of('RECEIPT').at(-1), { type: 'RECEIPT', conversationId: 'c', deliveredSeq: 2, readSeq: 2 });
});

test('typing is told at most once in a while, and its end at once', async () => {
  const { session, connection } = await startSession(serverWith([]));
  for (let key = 0; key < 20; key += 1) session.signals.typed('c', true);
  session.signals.typed('c', false);
  assert.deepEqual(connection.of('TYPING').map(({ isTyping }) => isTyping), [true, false]);
});

test('whoever is removed loses the conversation and is told', async () => {
  const { store, connection, notices } = await startSession(serverWith([]));
  connection.receive({ type: 'USER_LEFT', conversationId: 'c', seq: 1, userId: 'ann', actorId: 'bob', createdAt: '' });
  assert.equal(store.get('c'), undefined);
  assert.equal(notices.length, 1);
  await settle();
});

test('edits and deletes change the message and keep its place', async () => {
  const { store, connection } = await startSession(serverWith([]));
  connection.receive(message('c', 1));
  connection.receive({ type: 'MESSAGE_EDITED', conversationId: 'c', seq: 2, messageId: 'm1', userId: 'bob', content: 'new', version: 2 });
  assert.equal(store.get('c').rows[0].content, 'new');
  connection.receive({ type: 'MESSAGE_DELETED', conversationId: 'c', seq: 3, messageId: 'm1', userId: 'bob' });
  assert.equal(store.get('c').rows[0].isDeleted, true);
  assert.equal(store.get('c').rows.length, 1);
  assert.equal(store.get('c').position, 3);
});

test('history pages upwards, with the joins between its messages, until the beginning', async () => {
  const events = messages('c', 1, 80);
  events[69] = { type: 'USER_JOINED', conversationId: 'c', seq: 70, userId: 'cem', actorId: 'bob', createdAt: '' };
  const { session, store } = await startSession(serverWith(events, { lastSeq: 80, readSeq: 80 }));
  await session.open('c');
  assert.deepEqual(contents(store), Array.from({ length: 51 }, (_, index) => index + 30));
  assert.equal(store.get('c').rows.find(({ seq }) => seq === 70).kind, 'joined');
  await session.loadOlder('c');
  assert.equal(contents(store).length, 80);
  assert.equal(store.get('c').isComplete, true);
});

test('a list without last messages gets its previews from the history', async () => {
  const { store } = await startSession(serverWith(messages('c', 1, 3), { lastSeq: 3 }));
  await until(() => store.get('c').last);
  assert.equal(store.get('c').last.content, 'message 3');
  assert.deepEqual(contents(store), []);
});
