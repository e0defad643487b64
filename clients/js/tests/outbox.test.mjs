import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Outbox } from '../dist/outbox.js';

const draft = (clientMsgId, conversationId = 'c', content = 'x') => ({ clientMsgId, conversationId, content });
const ids = (drafts) => drafts.map(({ clientMsgId }) => clientMsgId);
const outbox = (limits) => new Outbox({ messages: 100, characters: 1_000, ...limits });

test('one of a conversation is on its way at a time, the conversations beside each other', () => {
  const box = outbox();
  for (const [id, conversation] of [['a1', 'a'], ['a2', 'a'], ['b1', 'b']]) box.add(draft(id, conversation));
  assert.deepEqual(ids(box.take()), ['a1', 'b1']);
  assert.deepEqual(box.take(), []);
  box.remove('a1');
  assert.deepEqual(ids(box.take()), ['a2']);
});

test('what is put back goes first again', () => {
  const box = outbox();
  for (const id of ['1', '2', '3']) box.add(draft(id));
  box.take();
  box.putBack('1', { strike: false });
  assert.deepEqual(ids(box.take()), ['1']);
  assert.deepEqual(ids(box.putAllBack()), ['1']);
  assert.deepEqual(ids(box.take()), ['1']);
});

test('strikes are counted', () => {
  const box = outbox();
  box.add(draft('1'));
  assert.deepEqual([1, 2, 3].map(() => box.putBack('1', { strike: true })), [1, 2, 3]);
  assert.equal(box.putBack('1', { strike: false }), 3);
});

test('it is full by number and by size, and has room again', () => {
  const few = outbox({ messages: 2 });
  assert.deepEqual(['1', '2', '3'].map((id) => few.add(draft(id))), [true, true, false]);
  few.remove('1');
  assert.equal(few.add(draft('3')), true);
  const short = outbox({ characters: 10 });
  assert.equal(short.add(draft('1', 'c', '1234567')), true);
  assert.equal(short.add(draft('2', 'c', '1234')), false);
  short.remove('1');
  assert.equal(short.add(draft('2', 'c', '1234')), true);
});

test('a long queue is no flood', () => {
  const box = outbox();
  for (let number = 0; number < 50; number += 1) box.add(draft(`${number}`, `c${number}`));
  assert.equal(box.take().length, 16);
  assert.equal(box.onTheirWay, 16);
  box.remove('0');
  assert.equal(box.take().length, 1);
});

test('what an earlier start left goes first, and nothing is there twice', () => {
  const box = outbox();
  box.add(draft('3'));
  box.restore([draft('1'), draft('2'), draft('1')]);
  assert.deepEqual(ids(box.drafts()), ['1', '2', '3']);
  assert.deepEqual(ids(box.take()), ['1']);
});

test('one in the middle can be taken out', () => {
  const box = outbox();
  for (const id of ['1', '2', '3']) box.add(draft(id));
  assert.equal(box.remove('2').clientMsgId, '2');
  assert.equal(box.remove('2'), undefined);
  assert.deepEqual(ids(box.drafts()), ['1', '3']);
});
