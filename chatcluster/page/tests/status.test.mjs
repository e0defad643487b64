import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Status } from '../status.js';

const said = (status, ...states) => states.map((state) => status.take(state));

test('a connection that is lost and found again was never "offline"', () => {
  const status = new Status();
  assert.deepEqual(said(status, 'connecting', 'connected', 'offline', 'connecting', 'offline', 'connecting', 'connected'), [
    'connecting',
    'connected',
    ...Array(4).fill('reconnecting'),
    'connected',
  ]);
});

test('one that does not come back is, until it does', () => {
  const status = new Status();
  said(status, 'connecting', 'connected', 'offline', 'connecting', 'offline', 'connecting');
  assert.deepEqual(said(status, 'offline', 'connecting', 'connected'), ['offline', 'offline', 'connected']);
});

test('without a network it is at once', () => {
  assert.deepEqual(said(new Status({ isOnline: () => false }), 'offline', 'closed'), ['offline', 'stopped']);
});
