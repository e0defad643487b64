import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Sequence } from '../sequence.js';

const seqs = (events) => events.map(({ seq }) => seq);

test('events come out in order, each once, whatever order and how often they come in', () => {
  for (let round = 0; round < 200; round += 1) {
    const sequence = new Sequence(0);
    const incoming = Array.from({ length: 60 }, (_, index) => ({ seq: (index % 30) + 1 }));
    for (let index = incoming.length - 1; index > 0; index -= 1) {
      const other = Math.floor(Math.random() * (index + 1));
      [incoming[index], incoming[other]] = [incoming[other], incoming[index]];
    }
    const out = incoming.flatMap((event) => seqs(sequence.offer(event)));
    assert.deepEqual(out, Array.from({ length: 30 }, (_, index) => index + 1));
    assert.equal(sequence.hasGap, false);
  }
});

test('an early event shows a gap and waits for what is before it', () => {
  const sequence = new Sequence(4);
  assert.deepEqual(sequence.offer({ seq: 7 }), []);
  assert.equal(sequence.hasGap, true);
  assert.deepEqual(seqs(sequence.offer({ seq: 5 })), [5]);
  assert.deepEqual(seqs(sequence.offer({ seq: 6 })), [6, 7]);
  assert.equal(sequence.hasGap, false);
});

test('what is at or before the position is a repeat', () => {
  const sequence = new Sequence(4);
  assert.deepEqual(sequence.offer({ seq: 4 }), []);
  assert.deepEqual(sequence.offer({ seq: 1 }), []);
  assert.equal(sequence.position, 4);
});

test('skipping gives up what is before and releases what was held after', () => {
  const sequence = new Sequence(0);
  sequence.offer({ seq: 3 });
  sequence.offer({ seq: 11 });
  assert.deepEqual(seqs(sequence.skipTo(10)), [11]);
  assert.equal(sequence.position, 11);
  assert.deepEqual(sequence.skipTo(5), [], 'never back');
});

test('a known head without its event is a gap', () => {
  const sequence = new Sequence(2);
  sequence.note(3);
  assert.equal(sequence.hasGap, true);
});
