import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Cursors } from '../dist/cursors.js';
import { message } from './support/fakes.mjs';

const joined = (seq, userId) => ({ type: 'USER_JOINED', conversationId: 'c', seq, userId, actorId: 'bob' });
const left = (seq, userId) => ({ ...joined(seq, userId), type: 'USER_LEFT' });
const kind = (cursors, event) => cursors.offer(event, 'ann').kind;

test('whatever comes in however often, each seq is due once and in order', () => {
  for (let round = 0; round < 100; round += 1) {
    const cursors = new Cursors();
    const due = [];
    let server = 0;
    // a server that repeats, leaves out and goes on from where it is told after each hole
    while (due.length < 40) {
      server = Math.random() < 0.2 ? Math.max(0, server - 3) : server + 1 + Math.floor(Math.random() * 1.2);
      const verdict = cursors.offer(message('c', server + 1), 'ann');
      if (verdict.missed) due.push([verdict.missed.from, verdict.missed.to]);
      if (verdict.kind === 'due') due.push(server + 1);
      if (verdict.kind === 'hole') server = cursors.resume().seqs.c - 1;
    }
    const told = due.flatMap((item) => (Array.isArray(item) ? Array.from({ length: item[1] - item[0] + 1 }, (_, i) => item[0] + i) : [item]));
    assert.deepEqual(told, Array.from({ length: told.length }, (_, index) => told[0] + index));
  }
});

test('the first event of a conversation may have any seq', () => {
  const cursors = new Cursors();
  assert.deepEqual(cursors.offer(message('c', 57), 'ann'), { kind: 'due' });
  assert.equal(kind(cursors, message('c', 57)), 'repeat');
  assert.equal(kind(cursors, message('c', 12)), 'repeat');
  assert.deepEqual(cursors.resume(), { seqs: { c: 57 } });
});

test('a hole is asked for once more, then told', () => {
  const cursors = new Cursors();
  cursors.place('c', 4);
  assert.equal(kind(cursors, message('c', 7)), 'hole');
  assert.deepEqual(cursors.resume().seqs, { c: 4 });
  assert.deepEqual(cursors.offer(message('c', 7), 'ann'), { kind: 'due', missed: { conversationId: 'c', from: 5, to: 6 } });
  assert.equal(kind(cursors, message('c', 8)), 'due');
  assert.equal(kind(cursors, message('c', 10)), 'hole', 'each hole for itself');
});

test('after leaving, joining again starts anywhere and nothing was missed', () => {
  const cursors = new Cursors();
  cursors.place('c', 4);
  cursors.offer(left(5, 'ann'), 'ann');
  assert.equal(cursors.hasLeft('c'), true);
  assert.deepEqual(cursors.resume().seqs, {}, 'there is nothing to resume');
  assert.deepEqual(cursors.offer(joined(10, 'ann'), 'ann'), { kind: 'due' });
  assert.equal(cursors.hasLeft('c'), false);
});

test('who left and joined while away is told what is missing, without asking: it is not sent', () => {
  const cursors = new Cursors();
  cursors.place('c', 4);
  assert.deepEqual(cursors.offer(joined(10, 'ann'), 'ann').missed, { conversationId: 'c', from: 5, to: 9 });
});

test('others come and go without a difference', () => {
  const cursors = new Cursors();
  cursors.place('c', 4);
  cursors.offer(left(5, 'bob'), 'ann');
  assert.equal(cursors.hasLeft('c'), false);
  assert.equal(kind(cursors, joined(9, 'bob')), 'hole');
});

test('RESYNC moves on, and tells only what is news', () => {
  const cursors = new Cursors();
  cursors.place('c', 8);
  assert.deepEqual(cursors.resync({ conversationId: 'c', from: 3, head: 20 }), { conversationId: 'c', from: 9, to: 20 });
  assert.equal(cursors.resync({ conversationId: 'c', from: 3, head: 20 }), undefined);
  assert.equal(kind(cursors, message('c', 21)), 'due');
  assert.deepEqual(cursors.resync({ conversationId: 'new', from: 3, head: 5 }), { conversationId: 'new', from: 3, to: 5 });
});

test('what was received is where a connection resumes; what was handled is where another start does', () => {
  const cursors = new Cursors();
  cursors.place('c', 4);
  for (const seq of [5, 6, 7]) cursors.offer(message('c', seq), 'ann');
  cursors.finished('c', 5);
  cursors.position = '1;c=7;d=3';
  assert.deepEqual(cursors.resume(), { seqs: { c: 7 }, position: '1;c=7;d=3' });
  assert.deepEqual(cursors.done(), { seqs: { c: 5 }, position: '1;c=7;d=3' });
});

test('what had no room is asked for again, also as the first of its conversation', () => {
  const cursors = new Cursors();
  cursors.refuse('new', 6);
  assert.deepEqual(cursors.resume().seqs, { new: 5 });
});

test('of too many conversations those are resumed that moved last, and those quiet longest are forgotten', () => {
  const cursors = new Cursors(10_000);
  const id = (number) => `conversation-${String(number).padStart(50, '0')}`;
  for (let number = 0; number < 11_000; number += 1) cursors.place(id(number), 1);
  cursors.offer(message(id(1_500), 2), 'ann');
  const { seqs } = cursors.resume();
  assert.equal(Object.keys(cursors.done().seqs).length, 10_000);
  assert.equal(seqs[id(1_500)], 2);
  assert.equal(seqs[id(10_999)], 1);
  assert.equal(seqs[id(1_501)], undefined);
  assert.ok(JSON.stringify(seqs).length < 200 * 1024);
});
