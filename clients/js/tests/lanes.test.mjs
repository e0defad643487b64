import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Lanes } from '../dist/lanes.js';
import { FakeClock } from './support/fakes.mjs';
import { settle } from './support/waiting.mjs';

function setUp({ handle, limits = {} } = {}) {
  const clock = new FakeClock();
  const done = [];
  const failures = [];
  let rooms = 0;
  const lanes = new Lanes({
    limits: { items: 1_000, characters: 1_000_000, ...limits },
    clock,
    random: () => 1,
    handle: handle ?? (() => {}),
    onHandled: (id, item) => done.push(`${id}${item}`),
    onFailure: (id, item, thrown, count) => failures.push([`${id}${item}`, thrown.message, count]),
    onRoom: () => (rooms += 1),
  });
  const push = (id, ...items) => items.forEach((item) => lanes.push(id, item, 10));
  return { lanes, clock, done, failures, push, rooms: () => rooms };
}

/** A handler whose calls end when the test says so. */
function gates() {
  const waiting = [];
  const handle = (item) => new Promise((resolve) => waiting.push({ item, resolve }));
  return { waiting, handle };
}

test('one at a time in a lane, the lanes beside each other', async () => {
  const { waiting, handle } = gates();
  const { push, done } = setUp({ handle });
  push('a', 1, 2);
  push('b', 1);
  assert.deepEqual(waiting.map(({ item }) => item), [1, 1]);
  waiting[1].resolve();
  await settle();
  assert.deepEqual(done, ['b1']);
  waiting[0].resolve();
  await settle();
  assert.deepEqual(waiting.map(({ item }) => item), [1, 1, 2]);
  waiting[2].resolve();
  await settle();
  assert.deepEqual(done, ['b1', 'a1', 'a2']);
});

test('a handler that answers at once is done at once', () => {
  const { push, done, lanes } = setUp();
  push('a', 1, 2, 3);
  assert.deepEqual(done, ['a1', 'a2', 'a3']);
  assert.equal(lanes.isEmpty, true);
});

test('what fails is handed out again after a pause that grows, and holds up its own lane only', async () => {
  let broken = 3;
  const handle = (item) => {
    if (item === 'bad' && broken-- > 0) throw new Error('no');
  };
  const { push, done, failures, clock } = setUp({ handle });
  push('a', 'bad', 'next');
  push('b', 'good');
  await clock.advance(999);
  assert.deepEqual(done, ['bgood']);
  await clock.advance(1);
  assert.equal(failures.length, 2);
  await clock.advance(2_000 + 4_000);
  assert.deepEqual(done, ['bgood', 'abad', 'anext']);
  assert.deepEqual(failures.map(([, , count]) => count), [1, 2, 3]);
});

test('a full lane takes nothing until it was emptied by half; others go on', async () => {
  const { waiting, handle } = gates();
  const { lanes, push, rooms } = setUp({ handle, limits: { items: 100 } });
  for (let item = 1; item <= 10; item += 1) push('a', item);
  assert.equal(lanes.hasRoom('a'), false);
  assert.equal(lanes.hasRoom('b'), true);
  while (rooms() === 0) {
    assert.equal(lanes.hasRoom('a'), false, 'what comes now would come before what was refused');
    waiting.shift().resolve();
    await settle();
  }
  assert.equal(waiting.length, 1);
  assert.equal(lanes.hasRoom('a'), true);
});

test('all lanes together are bounded, by size too', () => {
  const { handle } = gates();
  const { lanes, push } = setUp({ handle, limits: { characters: 100 } });
  for (const id of ['a', 'b', 'c', 'd', 'e']) push(id, 1, 2);
  assert.equal(lanes.hasRoom('f'), false);
});

test('nothing is handed out after the stop, which waits for what runs', async () => {
  const { waiting, handle } = gates();
  const { lanes, push, done, clock } = setUp({ handle });
  push('a', 1, 2);
  let isStopped = false;
  const stopped = lanes.stop().then(() => (isStopped = true));
  await settle();
  assert.equal(isStopped, false);
  waiting[0].resolve();
  await stopped;
  assert.deepEqual(done, ['a1']);
  assert.equal(waiting.length, 1);
  assert.equal(clock.running, 0);
});

test('what runs while everything is dropped does not count any more', async () => {
  const { waiting, handle } = gates();
  const { lanes, push, done } = setUp({ handle });
  push('a', 1, 2);
  lanes.clear();
  waiting[0].resolve();
  await settle();
  assert.deepEqual(done, []);
  push('a', 3);
  waiting[1].resolve();
  await settle();
  assert.deepEqual(done, ['a3']);
  assert.equal(lanes.isEmpty, true);
});
