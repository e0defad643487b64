// The promise, while servers are killed and connections cut: nothing lost, nothing twice, order kept.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { between, chatter } from './support/chatter.mjs';
import { watch } from './support/clients.mjs';
import { check } from './support/history.mjs';
import { Proxy } from './support/proxy.mjs';
import { Server } from './support/server.mjs';
import { until } from './support/waiting.mjs';

test('the server is killed again and again', async (t) => {
  const server = await Server.start(t, '--send-rate', '10000');
  const [ann, bob, cem] = [await server.person('ann'), await server.person('bob'), await server.person('cem')];
  const id = await server.conversation(ann, bob, cem);
  const a = watch(t, server.url, ann);
  const b = watch(t, server.url, bob);
  // one that takes its time over every event
  const slow = [];
  const onEvent = async (event) => {
    await pause(between(0, 3));
    slow.push(event);
  };
  const c = watch(t, server.url, cem, { onEvent });

  let isDone = false;
  const sending = chatter({ ann: a.client, bob: b.client }, id, 300).finally(() => (isDone = true));
  let kills = 0;
  while (!isDone && kills < 6) {
    await pause(between(100, 400));
    await server.kill();
    kills += 1;
    await server.run();
  }
  const sent = await sending;
  const log = await server.events(id, ann);
  await until('everybody has everything', () => [a.seen, b.seen, slow].every((seen) => seen.length >= log.length));
  check({ sent, log, seen: { ann: a.seen, bob: b.seen, cem: slow } });
  assert.deepEqual([a, b, c].flatMap(({ missed }) => missed), []);
  t.diagnostic(`${sent.length} messages, ${kills} kills, ${a.states.filter((state) => state === 'connected').length} connections of ann`);
});

test('connections are cut in the middle of frames', async (t) => {
  const server = await Server.start(t, '--send-rate', '10000');
  const proxy = await Proxy.start(t, server.port);
  const [ann, bob] = [await server.person('ann'), await server.person('bob')];
  const id = await server.conversation(ann, bob);
  // now and then not even CONNECTED gets through
  proxy.fuse = () => Math.floor(between(300, 25_000));
  const a = watch(t, proxy.url, ann, { backoff: { baseMs: 20, capMs: 200 } });
  const b = watch(t, proxy.url, bob, { backoff: { baseMs: 20, capMs: 200 } });
  const sent = await chatter({ ann: a.client, bob: b.client }, id, 300);
  proxy.fuse = undefined;
  proxy.cutAll();
  const log = await server.events(id, ann);
  await until('both have everything', () => [a, b].every(({ seen }) => seen.length >= log.length));
  check({ sent, log, seen: { ann: a.seen, bob: b.seen } });
  assert.deepEqual([a, b].flatMap(({ missed, errors }) => [...missed, ...errors]), []);
  t.diagnostic(`${sent.length} messages over ${proxy.connections} connections`);
});
