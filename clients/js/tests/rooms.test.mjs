// Rooms: over sockets that the test answers, and with a real server.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { connectedClient, message } from './support/fakes.mjs';
import { contents, range, seqs, watch } from './support/clients.mjs';
import { Proxy } from './support/proxy.mjs';
import { Server } from './support/server.mjs';
import { settle, until } from './support/waiting.mjs';

const record = (id, data = {}) => ({ type: 'message', roomId: 'r', ...(id && { id }), data });

/** A client in the room `r`, at seq 4, and what it was told of. */
async function visitor(options) {
  const made = await connectedClient();
  const told = [];
  for (const type of ['record', 'gap', 'left']) made.client.on(type, (frame) => told.push([type, frame.id ?? frame.roomId]));
  const joining = made.client.join('r', options);
  made.socket().receive({ type: 'JOINED', roomId: 'r', seq: 4 });
  await joining;
  return { ...made, told };
}

test('a room is joined again with every connection, from where it was', async () => {
  const { client, socket, clock, seen, told } = await visitor({ history: 20 });
  assert.deepEqual(socket().of('JOIN'), [{ type: 'JOIN', roomId: 'r', history: 20 }]);
  socket().receive(message('r', 5), record('3-17'), message('r', 6), record());
  socket().end(1006);
  await clock.advance(400);
  socket().accept();
  assert.deepEqual(socket().of('JOIN'), [{ type: 'JOIN', roomId: 'r', after: 6, since: '3-17' }]);
  socket().receive({ type: 'JOINED', roomId: 'r', seq: 6 }, message('r', 7));
  assert.deepEqual([seen, told], [[5, 6, 7], [['record', '3-17'], ['record', 'r']]]);
  await client.close();
});

test('records of which no place is known may be missing after a reconnect, and that is said', async () => {
  const { client, socket, clock, told } = await visitor();
  socket().end(1006);
  await clock.advance(400);
  socket().accept();
  assert.deepEqual(socket().of('JOIN'), [{ type: 'JOIN', roomId: 'r', after: 4 }]);
  socket().receive({ type: 'JOINED', roomId: 'r', seq: 4 });
  assert.deepEqual(told, [['gap', 'r']]);
  await client.close();
});

test('a hole in a room is asked for like any other, and visitors acknowledge nothing', async () => {
  const { client, socket, clock, seen } = await visitor();
  socket().receive(message('r', 6));
  await settle();
  socket().accept();
  assert.deepEqual(socket().of('JOIN'), [{ type: 'JOIN', roomId: 'r', after: 4 }]);
  socket().receive({ type: 'JOINED', roomId: 'r', seq: 4 }, message('r', 5), message('r', 6), message('mine', 1));
  await clock.advance(1_000);
  assert.deepEqual(seen, [5, 6, 1]);
  assert.deepEqual(socket().of('RECEIPT'), [{ type: 'RECEIPT', conversationId: 'mine', deliveredSeq: 1 }]);
  await client.close();
});

test('members acknowledge, and keep their place when they leave the room', async () => {
  const { client, socket, clock } = await visitor({ member: true });
  socket().receive(message('r', 5));
  await clock.advance(1_000);
  assert.deepEqual(socket().of('RECEIPT'), [{ type: 'RECEIPT', conversationId: 'r', deliveredSeq: 5 }]);
  client.leave('r');
  socket().receive(message('r', 6), { type: 'LEFT', roomId: 'r' });
  assert.deepEqual(client.resumePoint().seqs, { r: 6 });
  await client.close();
});

test('what was left is left: nothing comes of it any more, and it may be joined afresh', async () => {
  const { client, socket, clock, seen, told } = await visitor();
  socket().receive(message('r', 5));
  assert.equal(client.leave('r'), true);
  assert.equal(client.leave('r'), false);
  socket().receive(message('r', 6), record('3-18'));
  const again = client.join('r');
  // the server had not left it yet
  socket().receive({ type: 'LEFT', roomId: 'r' }, { type: 'ERROR', code: 'conflict', message: 'joined', roomId: 'r' });
  await clock.advance(1_000);
  assert.deepEqual(socket().of('JOIN').at(-1), { type: 'JOIN', roomId: 'r' });
  socket().receive({ type: 'JOINED', roomId: 'r', seq: 9 }, message('r', 10));
  await again;
  assert.deepEqual([seen, told], [[5, 10], []]);
  await client.close();
});

test('a refusal rejects, what passes is asked for again, and what the server ends is told', async () => {
  const { client, socket, clock, told, heard } = await visitor();
  const refused = client.join('s');
  socket().receive({ type: 'ERROR', code: 'unavailable', message: 'later', roomId: 's' });
  await clock.advance(1_000);
  assert.equal(socket().of('JOIN').length, 3);
  socket().receive({ type: 'ERROR', code: 'forbidden', message: 'not open', roomId: 's' });
  await assert.rejects(refused, { code: 'forbidden', conversationId: 's' });
  await assert.rejects(client.join('r'), { code: 'conflict' });
  assert.deepEqual(heard('refused'), [], 'the promise said it');
  socket().receive({ type: 'LEFT', roomId: 'r' });
  assert.deepEqual(told, [['left', 'r']]);
  const waiting = client.join('r');
  await client.close();
  await assert.rejects(waiting, { code: 'closed' });
  await assert.rejects(client.join('r'), { code: 'closed' });
});

test('a visitor of a real server hears what members say, over a cut too, and nothing after leaving', async (t) => {
  const server = await Server.start(t);
  const [ann, bob] = [await server.person('ann'), await server.person('bob')];
  const room = { kind: 'channel', name: 'news', open: true };
  const { id } = await server.call('POST', '/v1/conversations', room, await ann.token());
  const a = watch(t, server.url, ann);
  await a.client.send(id, 'message 0');
  const proxy = await Proxy.start(t, server.port);
  const b = watch(t, proxy.url, bob);
  await b.client.join(id);
  const say = async (from, to) => {
    for (const number of range(from, to)) await a.client.send(id, `message ${number}`);
  };
  await say(1, 5);
  await until('five are there', () => b.of(id).length === 5);
  proxy.cutAll();
  await say(6, 9);
  await until('all are there', () => b.of(id).length === 9);
  assert.deepEqual(contents(b.of(id)), range(1, 9).map((number) => `message ${number}`));
  assert.deepEqual(seqs(b.of(id)), range(2, 10));

  b.client.leave(id);
  await say(10, 12);
  await b.client.join(id);
  await say(13, 13);
  await until('the last one is there', () => contents(b.of(id)).includes('message 13'));
  assert.equal(b.of(id).length, 10);
  const { id: closed } = await server.call('POST', '/v1/conversations', { ...room, open: false }, await ann.token());
  await assert.rejects(b.client.join(closed), { code: 'forbidden' });
  await assert.rejects(b.client.join('nowhere'), { code: 'unknown_conversation' });
  assert.deepEqual([b.errors, b.missed], [[], []]);
});
