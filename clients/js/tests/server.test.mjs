// What the client does with a real server.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { contents, range, seqs, watch } from './support/clients.mjs';
import { memoryStorage } from './support/fakes.mjs';
import { Proxy } from './support/proxy.mjs';
import { Server } from './support/server.mjs';
import { until } from './support/waiting.mjs';

test('what one sends, both receive, in order; sends resolve with their seq', async (t) => {
  const server = await Server.start(t);
  const [ann, bob] = [await server.person('ann'), await server.person('bob')];
  const id = await server.conversation(ann, bob);
  const [a, b] = [watch(t, server.url, ann), watch(t, server.url, bob)];
  const sent = await Promise.all(range(1, 50).map((number) => a.client.send(id, `message ${number}`)));
  assert.deepEqual(seqs(sent), range(1, 50));
  for (const { of } of [a, b]) {
    await until('all are there', () => of(id).length === 50);
    assert.deepEqual(contents(of(id)), range(1, 50).map((number) => `message ${number}`));
  }
  assert.equal(a.client.userId, ann.id);
  assert.deepEqual(a.client.pending(), []);
  assert.deepEqual([a.errors, b.errors], [[], []]);
});

test('what was sent while away comes after the return, and only that; an application may start anew', async (t) => {
  const server = await Server.start(t);
  const [ann, bob] = [await server.person('ann'), await server.person('bob')];
  const id = await server.conversation(ann, bob);
  const a = watch(t, server.url, ann);
  const storage = memoryStorage();
  const first = watch(t, server.url, bob, { storage });
  for (const number of range(1, 5)) await a.client.send(id, `message ${number}`);
  await until('five are there', () => first.of(id).length === 5);
  await first.client.close();
  for (const number of range(6, 9)) await a.client.send(id, `message ${number}`);
  const second = watch(t, server.url, bob, { storage });
  await until('the rest is there', () => second.of(id).length === 4);
  assert.deepEqual(seqs(second.of(id)), range(6, 9));
});

test('a device goes on from where it was, however far the others are', async (t) => {
  const server = await Server.start(t);
  const [ann, bob] = [await server.person('ann'), await server.person('bob')];
  const id = await server.conversation(ann, bob);
  const a = watch(t, server.url, ann);
  await a.client.send(id, 'before');
  const { conversations } = await server.call('GET', '/v1/conversations', undefined, await bob.token());
  const resumeFrom = { seqs: Object.fromEntries(conversations.map(({ id, lastSeq }) => [id, lastSeq])) };
  const proxy = await Proxy.start(t, server.port);
  const laptop = watch(t, proxy.url, bob, { resumeFrom });
  const phone = watch(t, server.url, bob, { resumeFrom });
  await until('both are there', () => [laptop, phone].every(({ client }) => client.state === 'connected'));
  proxy.port = 1;
  proxy.cutAll();
  for (const number of range(1, 5)) await a.client.send(id, `message ${number}`);
  await until('the phone has them', () => phone.of(id).length === 5);
  await until('the phone said so', async () => (await server.receipts(id, ann)).get(bob.id)?.deliveredSeq === 6);
  proxy.port = server.port;
  await until('the laptop has them too', () => laptop.of(id).length === 5);
  assert.deepEqual(seqs(laptop.of(id)), range(2, 6));
});

test('the server\'s position holds the place in conversations of which nothing came', async (t) => {
  const server = await Server.start(t, '--heartbeat', '1s');
  const [ann, bob] = [await server.person('ann'), await server.person('bob')];
  const [busy, quiet] = [await server.conversation(ann, bob), await server.conversation(ann, bob)];
  const a = watch(t, server.url, ann);
  await a.client.send(quiet, 'before');
  const proxy = await Proxy.start(t, server.port);
  const phone = watch(t, server.url, bob);
  await until('the phone has it', () => phone.of(quiet).length === 1);
  await until('the phone said so', async () => (await server.receipts(quiet, ann)).get(bob.id)?.deliveredSeq === 1);
  const laptop = watch(t, proxy.url, bob);
  await until('the laptop is there', () => laptop.client.state === 'connected');
  await a.client.send(busy, 'something');
  await until('the server says where it is', () => laptop.client.resumePoint().position !== undefined);
  assert.deepEqual(laptop.of(quiet), []);
  proxy.port = 1;
  proxy.cutAll();
  await a.client.send(quiet, 'while the laptop is away');
  await until('the phone said so', async () => (await server.receipts(quiet, ann)).get(bob.id).deliveredSeq === 2);
  proxy.port = server.port;
  await until('the laptop has it too', () => laptop.of(quiet).length === 1);
  assert.deepEqual(seqs(laptop.of(quiet)), [2]);
});

test('SENT comes when it is stored, DELIVERED when the handler is done, READ when the application says so', async (t) => {
  const server = await Server.start(t);
  const [ann, bob] = [await server.person('ann'), await server.person('bob')];
  const id = await server.conversation(ann, bob);
  const a = watch(t, server.url, ann);
  const [stored, statuses] = [[], []];
  a.client.on('status', ({ status, userId, seq, messageId }) => {
    if (status === 'SENT') stored.push([userId === ann.id, messageId]);
    else statuses.push([status, userId === bob.id, seq]);
  });
  const ends = [];
  const b = watch(t, server.url, bob, { onEvent: () => new Promise((resolve) => ends.push(resolve)) });
  await a.client.send(id, 'one');
  const second = await a.client.send(id, 'two');
  await until('the first is being handled', () => ends.length === 1);
  ends[0]();
  await until('the second is being handled', () => ends.length === 2);
  await until('the first is delivered', () => statuses.length === 1);
  assert.equal((await server.receipts(id, ann)).get(bob.id).deliveredSeq, 1);
  ends[1]();
  await until('the second is delivered', () => statuses.length === 2);
  b.client.read(id, 2);
  await until('both are read', () => statuses.length === 3);
  assert.deepEqual(statuses, [['DELIVERED', true, 1], ['DELIVERED', true, 2], ['READ', true, 2]]);
  await until('both are known to be stored', () => stored.at(-1)?.[1] === second.messageId);
  assert.ok(stored.every(([own]) => own));
});

test('tokens that expire are renewed, and nothing is lost at it', async (t) => {
  const server = await Server.start(t, '--access-token-ttl', '2s');
  const [ann, bob] = [await server.person('ann'), await server.person('bob')];
  const id = await server.conversation(ann, bob);
  const [a, b] = [watch(t, server.url, ann), watch(t, server.url, bob)];
  let number = 0;
  await until('each was connected three times', async () => {
    await a.client.send(id, `message ${(number += 1)}`);
    return [a, b].every(({ states }) => states.filter((state) => state === 'connected').length >= 3);
  });
  await until('all is there', () => b.of(id).length === number);
  assert.deepEqual(contents(b.of(id)), range(1, number).map((count) => `message ${count}`));
});

test('what is too far back is told, and can be read by REST in its place', async (t) => {
  const server = await Server.start(t, '--resume-limit', '5');
  const [ann, bob] = [await server.person('ann'), await server.person('bob')];
  const id = await server.conversation(ann, bob);
  const a = watch(t, server.url, ann);
  const proxy = await Proxy.start(t, server.port);
  const all = [];
  const onMissed = async ({ conversationId, from, to }) => {
    const path = `/v1/conversations/${conversationId}/events?after=${from - 1}&limit=${to - from + 1}`;
    all.push(...(await server.call('GET', path, undefined, await bob.token())).events);
  };
  const b = watch(t, proxy.url, bob, { onEvent: (event) => void all.push(event), onMissed });
  await a.client.send(id, 'one');
  await until('it is there', () => all.length === 1);
  proxy.port = 1;
  proxy.cutAll();
  for (const number of range(2, 20)) await a.client.send(id, `message ${number}`);
  proxy.port = server.port;
  await until('he is back', () => b.states.filter((state) => state === 'connected').length === 2);
  await a.client.send(id, 'live');
  await until('everything is there', () => all.length === 21);
  assert.deepEqual(seqs(all), range(1, 21));
});

test('a gateway that refuses for now is obeyed, and order is kept', async (t) => {
  const server = await Server.start(t, '--send-rate', '10');
  const ann = await server.person('ann');
  const id = await server.conversation(ann);
  const a = watch(t, server.url, ann);
  const sent = await Promise.all(range(1, 40).map((number) => a.client.send(id, `message ${number}`)));
  assert.deepEqual(seqs(sent), range(1, 40));
});

test('refusals reject with the server\'s code', async (t) => {
  const server = await Server.start(t, '--max-content', '1KiB');
  const [ann, bob] = [await server.person('ann'), await server.person('bob')];
  const id = await server.conversation(bob);
  const a = watch(t, server.url, ann);
  await assert.rejects(a.client.send(id, 'let me in'), { code: 'not_a_member' });
  await assert.rejects(a.client.send('nowhere', 'hello?'), { code: 'unknown_conversation' });
  const own = await server.conversation(ann);
  await assert.rejects(a.client.send(own, 'x'.repeat(1025)), { code: 'payload_too_large' });
  await a.client.send(own, 'x', { clientMsgId: 'once' });
  await assert.rejects(a.client.send(own, 'y', { clientMsgId: 'once' }), { code: 'client_msg_id_reused' });
});

test('a frame that the gateway does not even read costs that message, not the ones behind it', async (t) => {
  const server = await Server.start(t, '--max-frame', '16KiB');
  const ann = await server.person('ann');
  const id = await server.conversation(ann);
  const a = watch(t, server.url, ann);
  const long = a.client.send(id, 'x'.repeat(20 * 1024));
  const short = a.client.send(id, 'short');
  await assert.rejects(long, { code: 'payload_too_large' });
  assert.equal((await short).seq, 1);
});

test('who leaves and joins again sees what is between the two to nobody', async (t) => {
  const server = await Server.start(t);
  const [ann, bob] = [await server.person('ann'), await server.person('bob')];
  const id = await server.conversation(ann, bob);
  const [a, b] = [watch(t, server.url, ann), watch(t, server.url, bob)];
  const token = await ann.token();
  await a.client.send(id, 'one');
  await until('he is there', () => b.of(id).length === 1);
  await server.call('DELETE', `/v1/conversations/${id}/members/${bob.id}`, undefined, token);
  await a.client.send(id, 'among us');
  await server.call('POST', `/v1/conversations/${id}/members`, { userId: bob.id }, token);
  await a.client.send(id, 'welcome back');
  await until('he is back', () => b.of(id).at(-1)?.content === 'welcome back');
  assert.deepEqual(b.of(id).map(({ type, seq }) => [type, seq]), [['MESSAGE', 1], ['USER_LEFT', 2], ['USER_JOINED', 4], ['MESSAGE', 5]]);
  assert.deepEqual(b.missed, []);
  assert.deepEqual(seqs(a.of(id)), range(1, 5));
});

test('typing and news of a conversation are passed on', async (t) => {
  const server = await Server.start(t);
  const [ann, bob] = [await server.person('ann'), await server.person('bob')];
  const [a, b] = [watch(t, server.url, ann), watch(t, server.url, bob)];
  const heard = [];
  b.client.on('typing', ({ userId, isTyping }) => heard.push([userId, isTyping]));
  b.client.on('notification', ({ notification }) => heard.push([notification.type, notification.relatedEntityId]));
  await until('both are there', () => [a, b].every(({ client }) => client.state === 'connected'));
  const id = await server.conversation(ann, bob);
  await until('he knows', () => heard.length === 1);
  await a.client.send(id, 'hello');
  await until('it is there', () => b.of(id).length === 1);
  a.client.typing(id, true);
  await until('he sees it', () => heard.length === 2);
  a.client.typing(id, false);
  await until('he sees the end of it', () => heard.length === 3);
  assert.deepEqual(heard, [['CONVERSATION_CREATED', id], [ann.id, true], [ann.id, false]]);
});

test('a server that goes in order is followed at once', async (t) => {
  const server = await Server.start(t, '--drain', '500ms');
  const ann = await server.person('ann');
  const id = await server.conversation(ann);
  const a = watch(t, server.url, ann);
  const ended = [];
  a.client.on('state', (change) => change.ended && ended.push(change.ended.code));
  await a.client.send(id, 'one');
  await server.kill('SIGTERM');
  const second = a.client.send(id, 'two');
  await server.run();
  assert.equal((await second).seq, 2);
  assert.equal(ended[0], 1012);
  await until('it is there', () => a.of(id).length === 2);
});

test('the global WebSocket does, where there is one', async (t) => {
  const server = await Server.start(t);
  const ann = await server.person('ann');
  const id = await server.conversation(ann);
  const program = `
    import { Client } from ${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)};
    const [url, token, id] = process.argv.slice(1);
    const client = new Client({ url, token, onMissed() {}, onEvent: ({ content }) => { console.log(content); void client.close(); } });
    client.connect();
    await client.send(id, 'from the global one');
  `;
  const flags = ['--experimental-websocket', '--no-warnings', '--input-type=module', '--eval', program];
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, server.url, await ann.token(), id]);
  assert.equal(stdout, 'from the global one\n');
});
