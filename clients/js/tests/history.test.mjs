// A checker that cannot fail is worse than none: each thing it looks for is planted once.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { check } from './support/history.mjs';

function history() {
  const log = ['a1', 'b1', 'a2'].map((content, index) => ({ type: 'MESSAGE', seq: index + 1, content }));
  const sent = [
    { sender: 'a', content: 'a1', seq: 1 },
    { sender: 'b', content: 'b1', seq: 2 },
    { sender: 'a', content: 'a2', seq: 3 },
  ];
  return { sent, log, seen: { a: log, b: structuredClone(log) } };
}

test('a good history passes', () => check(history()));

const planted = {
  'a hole in the log': ({ log }) => log.splice(1, 1),
  'a message stored twice': ({ log }) => log.push({ type: 'MESSAGE', seq: 4, content: 'a1' }),
  'an acknowledged message that is not stored': ({ sent }) => sent.push({ sender: 'a', content: 'a3', seq: 4 }),
  'a wrong seq acknowledged': ({ sent }) => Object.assign(sent[1], { seq: 3 }),
  'messages of one sender that changed places': ({ sent }) => sent.reverse(),
  'a message out of nowhere': ({ log, seen }) => {
    log.push({ type: 'MESSAGE', seq: 4, content: 'x' });
    seen.b.push(log[3]);
  },
  'an event lost on the way': ({ seen }) => seen.b.splice(1, 1),
  'the last event lost on the way': ({ seen }) => seen.b.pop(),
  'an event handed out twice': ({ seen }) => seen.b.splice(1, 0, seen.b[1]),
  'events that changed places': ({ seen }) => seen.b.reverse(),
  'an event that was changed': ({ seen }) => Object.assign(seen.b[1], { content: 'c1' }),
};
for (const [name, plant] of Object.entries(planted)) {
  test(`${name} is found`, () => {
    const bad = history();
    plant(bad);
    assert.throws(() => check(bad), assert.AssertionError);
  });
}
