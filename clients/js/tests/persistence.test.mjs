import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Persistence } from '../dist/persistence.js';
import { FakeClock, memoryStorage } from './support/fakes.mjs';
import { settle } from './support/waiting.mjs';

function setUp(storage = memoryStorage()) {
  const clock = new FakeClock();
  const state = { userId: 'ann', resume: { seqs: { c: 1 } }, drafts: [] };
  const troubles = [];
  const parts = { storage, key: 'k', clock, snapshot: () => structuredClone(state), onTrouble: (thrown) => troubles.push(thrown) };
  return { persistence: new Persistence(parts), storage, clock, state, troubles };
}

test('what was written is read, whoever reads it', async () => {
  const { persistence, storage, state } = setUp();
  await persistence.load();
  persistence.open();
  state.resume = { seqs: { c: 7 }, position: '1;c=7' };
  state.drafts = [{ clientMsgId: 'x', conversationId: 'c', content: 'hello' }];
  persistence.changed('resume');
  persistence.changed('outbox');
  await persistence.flush();
  assert.deepEqual(await setUp(storage).persistence.load(), state);
});

test('many changes are few writes, and the last one is written', async () => {
  const storage = memoryStorage();
  let writes = 0;
  const { setItem } = storage;
  storage.setItem = (...words) => {
    writes += 1;
    return setItem(...words);
  };
  const { persistence, clock, state } = setUp(storage);
  persistence.open();
  for (let seq = 1; seq <= 1_000; seq += 1) {
    state.resume = { seqs: { c: seq } };
    persistence.changed('resume');
    if (seq % 100 === 0) await clock.advance(10);
  }
  await clock.advance(1_000);
  assert.ok(writes <= 4, `${writes} writes`);
  assert.equal(JSON.parse(storage.items.get('k.resume')).value.seqs.c, 1_000);
  assert.equal(clock.running, 0);
});

test('a slow storage has one write at a time', async () => {
  let running = 0;
  const ends = [];
  const storage = {
    getItem: async () => null,
    setItem: () => {
      running += 1;
      assert.equal(running, 1);
      return new Promise((resolve) => ends.push(() => resolve((running -= 1))));
    },
  };
  const { persistence, clock } = setUp(storage);
  persistence.open();
  persistence.changed('resume');
  await clock.advance(500);
  persistence.changed('resume');
  await clock.advance(500);
  assert.equal(ends.length, 1);
  ends.shift()();
  await clock.advance(100);
  assert.equal(ends.length, 1);
  const flushed = persistence.flush();
  ends.shift()();
  await flushed;
});

test('nothing is written over what was not read yet', async () => {
  const { persistence, storage } = setUp();
  persistence.changed('outbox');
  await settle();
  assert.equal(storage.items.size, 0);
  await persistence.load();
  await settle();
  assert.equal(storage.items.size, 0);
  persistence.open();
  await persistence.flush();
  assert.equal(storage.items.size, 1);
});

test('a storage full of something else is as good as empty', async () => {
  const values = ['{', '[]', 'null', '{"version":2}', '{"version":1,"value":{"seqs":{"c":-1,"a b":3,"d":"1","e":2}}}'];
  for (const text of values) {
    const { persistence } = setUp({ getItem: () => text, setItem: () => {} });
    const { resume, drafts } = await persistence.load();
    assert.deepEqual(drafts, []);
    assert.ok(Object.keys(resume.seqs).every((id) => id === 'e'));
  }
});

test('a storage that fails is told and does no other harm', async () => {
  const storage = {
    getItem: () => Promise.reject(new Error('no')),
    setItem: () => {
      throw new Error('full');
    },
  };
  const { persistence, troubles, clock } = setUp(storage);
  assert.deepEqual(await persistence.load(), { resume: { seqs: {} }, drafts: [] });
  persistence.open();
  persistence.changed('resume');
  await clock.advance(100);
  assert.deepEqual(troubles.map(({ message }) => message), ['no', 'no', 'full']);
  await persistence.flush();
});
