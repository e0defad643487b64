// Sends, seen from the application, over sockets that the test answers.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ack, connectedClient, makeClient, memoryStorage, message } from './support/fakes.mjs';
import { settle } from './support/waiting.mjs';

const contents = (frames) => frames.map(({ content }) => content);
const refusal = ({ clientMsgId }, code) => ({ type: 'ERROR', code, message: `because of ${code}`, clientMsgId });

test('a send resolves with its ACK', async () => {
  const { client, socket, heard } = await connectedClient();
  const sent = client.send('c', 'hello');
  const [frame] = socket().of('SEND');
  assert.deepEqual(frame, { type: 'SEND', clientMsgId: frame.clientMsgId, conversationId: 'c', content: 'hello' });
  socket().receive(ack(frame, 3));
  const expected = { clientMsgId: frame.clientMsgId, messageId: 'm3', conversationId: 'c', seq: 3 };
  assert.deepEqual(await sent, expected);
  assert.deepEqual(heard('sent'), [expected]);
  await client.close();
});

test('the own MESSAGE is as good as an ACK, and whichever comes second is no second answer', async () => {
  const { client, socket, heard } = await connectedClient();
  const sends = [client.send('c', 'one', { clientMsgId: 'x1' }), client.send('c', 'two', { clientMsgId: 'x2' })];
  const echo = (seq) => message('c', seq, { clientMsgId: `x${seq}`, senderId: 'ann' });
  socket().receive(echo(1), ack({ clientMsgId: 'x1', conversationId: 'c' }, 1));
  socket().receive(ack({ clientMsgId: 'x2', conversationId: 'c' }, 2), echo(2));
  assert.deepEqual((await Promise.all(sends)).map(({ seq }) => seq), [1, 2]);
  assert.equal(heard('sent').length, 2);
  await client.close();
});

test('somebody else\'s clientMsgId means nothing', async () => {
  const { client, socket } = await connectedClient();
  client.send('c', 'one', { clientMsgId: 'x1' });
  socket().receive(message('c', 1, { clientMsgId: 'x1', senderId: 'bob' }));
  assert.equal(client.pending().length, 1);
  await client.close();
});

test('what is written offline goes out in order, with the same id until it is answered', async () => {
  const { client, socket, clock, sockets } = makeClient();
  const sends = ['one', 'two', 'three'].map((content) => client.send('c', content));
  client.connect();
  await settle();
  socket().accept();
  assert.deepEqual(contents(socket().of('SEND')), ['one']);
  socket().receive(ack(socket().of('SEND')[0], 1));
  assert.deepEqual(contents(socket().of('SEND')), ['one', 'two']);
  socket().end(1006);
  await clock.advance(400);
  socket().accept();
  assert.equal(sockets.length, 2);
  const [again] = socket().of('SEND');
  assert.deepEqual(again, sockets[0].of('SEND')[1]);
  socket().receive(ack(again, 2));
  socket().receive(ack(socket().of('SEND')[1], 3));
  assert.deepEqual((await Promise.all(sends)).map(({ seq }) => seq), [1, 2, 3]);
  await client.close();
});

test('a refusal for good rejects with the server\'s code, and the next message goes', async () => {
  const { client, socket, heard } = await connectedClient();
  const refused = client.send('c', 'one');
  client.send('c', 'two');
  socket().receive(refusal(socket().of('SEND')[0], 'not_a_member'));
  await assert.rejects(refused, { name: 'ChatError', code: 'not_a_member', message: 'because of not_a_member', conversationId: 'c' });
  assert.deepEqual(heard('failed').map(({ code }) => code), ['not_a_member']);
  assert.deepEqual(contents(socket().of('SEND')), ['one', 'two']);
  await client.close();
});

test('"not now" is tried again after a pause that grows, and nothing overtakes it', async () => {
  const { client, socket, clock } = await connectedClient();
  const sent = client.send('c', 'one');
  client.send('c', 'two');
  for (const pause of [500, 1_000, 2_000]) {
    socket().receive(refusal(socket().of('SEND').at(-1), 'rate_limited'));
    const before = socket().of('SEND').length;
    await clock.advance(pause - 1);
    assert.equal(socket().of('SEND').length, before);
    await clock.advance(1);
    assert.equal(socket().of('SEND').length, before + 1);
  }
  assert.deepEqual(new Set(contents(socket().of('SEND'))), new Set(['one']));
  socket().receive(ack(socket().of('SEND').at(-1), 1));
  assert.equal((await sent).seq, 1);
  assert.equal(socket().of('SEND').at(-1).content, 'two');
  await client.close();
});

test('an internal error is believed after five times', async () => {
  const { client, socket, clock } = await connectedClient();
  const sent = client.send('c', 'one');
  for (let time = 0; time < 5; time += 1) {
    socket().receive(refusal(socket().of('SEND').at(-1), 'internal'));
    await clock.advance(8_000);
  }
  await assert.rejects(sent, { code: 'internal' });
  assert.equal(socket().of('SEND').length, 5);
  await client.close();
});

test('a connection that answers no send is given up for another; in the end the send is', async () => {
  const { client, socket, clock, sockets } = await connectedClient();
  const sent = client.send('c', 'one');
  for (let time = 0; time < 5; time += 1) {
    // the rest of it is well
    for (let second = 0; second < 20; second += 1) {
      socket().receive({ type: 'PONG' });
      await clock.advance(1_000);
    }
    if (time < 4) socket().accept();
  }
  await assert.rejects(sent, { code: 'no_answer' });
  assert.equal(sockets.length, 6);
  await client.close();
});

test('a send without an answer finds a dead connection soon', async () => {
  const { client, socket, clock, sockets } = await connectedClient();
  client.send('c', 'one');
  await clock.advance(9_000);
  assert.equal(client.state, 'offline');
  await clock.advance(400);
  socket().accept();
  assert.equal(sockets.length, 2);
  assert.deepEqual(contents(socket().of('SEND')), ['one']);
  await client.close();
});

test('what the gateway finds too big is not sent for ever', async () => {
  const { client, socket, clock } = await connectedClient();
  const long = client.send('c', 'x'.repeat(500));
  client.send('d', 'short');
  socket().end(1009);
  await assert.rejects(long, { code: 'payload_too_large' });
  await clock.advance(20_000);
  socket().accept();
  assert.deepEqual(contents(socket().of('SEND')), ['short']);
  await client.close();
});

test('what could never be sent is refused at once', async () => {
  const { client } = makeClient({ maxContentBytes: 10, outboxLimits: { messages: 1 } });
  await assert.rejects(client.send('c', 'ä'.repeat(6)), { code: 'payload_too_large' });
  await assert.rejects(client.send('c', 'half \ud800'), { code: 'invalid_field' });
  await assert.rejects(client.send('no id', 'x'), { code: 'invalid_field' });
  await assert.rejects(client.send('c', 'x', { clientMsgId: '' }), { code: 'invalid_field' });
  client.send('c', 'x', { clientMsgId: 'x1' });
  await assert.rejects(client.send('c', 'y'), { code: 'outbox_full' });
  await assert.rejects(client.send('c', 'z', { clientMsgId: 'x1' }), { code: 'client_msg_id_reused' });
  await client.close();
  await assert.rejects(client.send('c', 'x'), { code: 'closed' });
});

test('the same id again is the same message and the same outcome', async () => {
  const { client, socket } = await connectedClient();
  const first = client.send('c', 'one', { clientMsgId: 'x1' });
  assert.equal(client.send('c', 'one', { clientMsgId: 'x1' }), first);
  assert.equal(socket().of('SEND').length, 1);
  await client.close();
});

test('a message can be given up', async () => {
  const { client, socket } = await connectedClient();
  const sends = [client.send('c', 'one', { clientMsgId: 'x1' }), client.send('c', 'two', { clientMsgId: 'x2' })];
  assert.equal(client.cancel('x1'), true);
  assert.equal(client.cancel('x1'), false);
  await assert.rejects(sends[0], { code: 'cancelled' });
  assert.deepEqual(contents(socket().of('SEND')), ['one', 'two']);
  socket().receive(ack({ clientMsgId: 'x1', conversationId: 'c' }, 1), ack({ clientMsgId: 'x2', conversationId: 'c' }, 2));
  assert.equal((await sends[1]).seq, 2);
  await client.close();
});

test('unsent messages survive a restart, and their outcome is told', async () => {
  const storage = memoryStorage();
  const first = makeClient({ storage });
  const lost = first.client.send('c', 'kept', { clientMsgId: 'x1' });
  first.client.connect();
  await settle();
  await first.client.close();
  await assert.rejects(lost, { code: 'closed' });

  const second = await connectedClient({ storage });
  assert.deepEqual(contents(second.socket().of('SEND')), ['kept']);
  second.socket().receive(ack({ clientMsgId: 'x1', conversationId: 'c' }, 1));
  assert.deepEqual(second.heard('sent').map(({ clientMsgId }) => clientMsgId), ['x1']);
  await second.client.close();
  const third = await connectedClient({ storage });
  assert.deepEqual(third.socket().of('SEND'), []);
  await third.client.close();
});

test('what one person wrote is never sent as another', async () => {
  const storage = memoryStorage();
  const first = await connectedClient({ storage });
  first.client.send('c', 'private', { clientMsgId: 'x1' });
  first.socket().receive(message('c', 8));
  await first.client.close();

  const second = makeClient({ storage });
  second.client.connect();
  await settle();
  assert.deepEqual(second.socket().url, 'ws://chat.example/ws');
  second.socket().accept('bob');
  await settle();
  second.socket().accept('bob');
  assert.deepEqual(second.sockets.map(({ sent }) => sent.map(({ type }) => type)), [['CONNECT'], ['CONNECT']]);
  assert.deepEqual(second.sockets.map((socket) => socket.of('CONNECT')[0].resume), [{ c: 8 }, {}]);
  assert.deepEqual(second.heard('failed').map(({ code }) => code), ['other_user']);
  await second.client.close();
});

test('nobody has to look at a send that fails', async () => {
  const { client } = await connectedClient();
  client.send('c', 'x');
  await client.close();
  await settle();
});
