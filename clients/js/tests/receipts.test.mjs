import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Receipts } from '../dist/receipts.js';
import { FakeClock } from './support/fakes.mjs';

function setUp() {
  const clock = new FakeClock();
  const written = [];
  const line = { isUp: true };
  const transmit = ({ type, ...marks }) => {
    if (line.isUp) written.push(Object.values(marks));
    return line.isUp;
  };
  return { receipts: new Receipts({ clock, transmit }), clock, written, line };
}

test('many moves are one receipt', async () => {
  const { receipts, clock, written } = setUp();
  for (const seq of [1, 2, 3]) receipts.delivered('c', seq);
  receipts.read('c', 2);
  receipts.delivered('d', 7);
  await clock.advance(200);
  assert.deepEqual(written, [['c', 3, 2], ['d', 7]]);
  assert.equal(clock.running, 0);
});

test('marks never go back', async () => {
  const { receipts, clock, written } = setUp();
  receipts.delivered('c', 9);
  receipts.delivered('c', 4);
  await clock.advance(200);
  assert.deepEqual(written, [['c', 9]]);
});

test('what cannot be written waits for the next connection', async () => {
  const { receipts, clock, written, line } = setUp();
  line.isUp = false;
  receipts.delivered('c', 3);
  await clock.advance(1_000);
  line.isUp = true;
  receipts.connected();
  assert.deepEqual(written, [['c', 3]]);
});

test('what the last connection may have lost is said again, what is old is not', async () => {
  const { receipts, clock, written } = setUp();
  receipts.delivered('old', 1);
  await clock.advance(61_000);
  receipts.delivered('new', 2);
  await clock.advance(200);
  written.length = 0;
  receipts.connected();
  assert.deepEqual(written, [['new', 2]]);
});

test('a flood goes out in portions', async () => {
  const { receipts, clock, written } = setUp();
  for (let number = 0; number < 450; number += 1) receipts.delivered(`c${number}`, 1);
  await clock.advance(200);
  assert.equal(written.length, 200);
  await clock.advance(400);
  assert.equal(written.length, 450);
});

test('who is no member any more acknowledges nothing', async () => {
  const { receipts, clock, written } = setUp();
  receipts.delivered('c', 3);
  receipts.forget('c');
  await clock.advance(200);
  receipts.connected();
  assert.deepEqual(written, []);
});
