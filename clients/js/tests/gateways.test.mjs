// The promise on real Kafka, Redis and MariaDB, while gateways are killed: their clients go on at another one.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { between, chatter } from './support/chatter.mjs';
import { watch } from './support/clients.mjs';
import { Deployment, hasTestkit } from './support/deployment.mjs';
import { check } from './support/history.mjs';
import { Proxy } from './support/proxy.mjs';
import { until } from './support/waiting.mjs';

test('gateways are killed one after the other', { skip: hasTestkit ? false : 'no testkit: cargo build --workspace --bins' }, async (t) => {
  const platform = await Deployment.start(t, '--gateways', '4');
  const balancer = await Proxy.start(t, () => platform.anyGateway());
  const people = {};
  for (const name of ['ann', 'bob', 'cem', 'dot']) people[name] = await platform.person(name);
  const id = await platform.conversation(...Object.values(people));
  const watched = Object.fromEntries(Object.entries(people).map(([name, person]) => [name, watch(t, balancer.url, person)]));
  const { ann, bob } = watched;
  await until('all are there', () => Object.values(watched).every(({ client }) => client.state === 'connected'));

  const sending = chatter({ ann: ann.client, bob: bob.client }, id, 300);
  while (platform.gateways.length > 1) {
    await pause(between(500, 1_500));
    platform.killGateway();
  }
  const sent = await sending;
  const log = await platform.events(id, people.ann);
  await until('everybody has everything', () => Object.values(watched).every(({ seen }) => seen.length >= log.length), 60_000);
  check({ sent, log, seen: Object.fromEntries(Object.entries(watched).map(([name, { seen }]) => [name, seen])) });
  assert.deepEqual(Object.values(watched).flatMap(({ missed, errors }) => [...missed, ...errors]), []);
  t.diagnostic(`${sent.length} messages, 3 gateways killed, ${balancer.connections} connections of ${Object.keys(people).length} people`);
});
