import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Connection, backoff } from '../connection.js';
import { FakeClock, FakeSocket, settle } from './fakes.mjs';

function setUp({ random = () => 1, ...more } = {}) {
  const clock = new FakeClock();
  const sockets = [];
  const states = [];
  const frames = [];
  const tokens = [];
  let refused = 0;
  const connection = new Connection({
    clock,
    random,
    token: async ({ force }) => {
      tokens.push(force);
      return `token-${tokens.length}`;
    },
    resume: () => ({ c: 7 }),
    open: () => {
      sockets.push(new FakeSocket());
      return sockets.at(-1);
    },
    onFrame: (frame) => frames.push(frame),
    onState: (state) => states.push(state),
    onRefused: () => (refused += 1),
    ...more,
  });
  const accept = async () => {
    await settle();
    sockets.at(-1).onopen();
    sockets.at(-1).receive({ type: 'CONNECTED', sessionId: 's', userId: 'u', heartbeatMs: 25000 });
  };
  return { clock, sockets, states, frames, tokens, connection, accept, refused: () => refused };
}

test('CONNECT carries the token and where to go on from', async () => {
  const { connection, sockets, states, accept } = setUp();
  connection.start();
  await accept();
  assert.deepEqual(sockets[0].sent[0], { type: 'CONNECT', token: 'token-1', resume: { c: 7 } });
  assert.deepEqual(states, ['connecting', 'connected']);
  connection.stop();
});

test('nothing is written without a connection', async () => {
  const { connection, accept } = setUp();
  assert.equal(connection.send({ type: 'PING' }), false);
  connection.start();
  assert.equal(connection.send({ type: 'PING' }), false);
  await accept();
  assert.equal(connection.send({ type: 'PING' }), true);
  connection.stop();
});

test('a lost connection comes back after a pause that grows, and says when it is offline', async () => {
  const { connection, sockets, states, clock, accept } = setUp();
  connection.start();
  await accept();
  await clock.advance(10_000);
  sockets[0].onclose({ code: 1012 });
  await clock.advance(399);
  assert.equal(sockets.length, 1);
  await clock.advance(1);
  assert.equal(sockets.length, 2);
  for (const pause of [800, 1600, 3200]) {
    sockets.at(-1).onclose({ code: 1006 });
    const before = sockets.length;
    await clock.advance(pause - 1);
    assert.equal(sockets.length, before);
    await clock.advance(1);
    assert.equal(sockets.length, before + 1);
  }
  assert.equal(connection.state, 'offline');
  await accept();
  assert.deepEqual(states, ['connecting', 'connected', 'reconnecting', 'offline', 'connected']);
  connection.stop();
});

test('the pause has full jitter and a ceiling', () => {
  assert.equal(backoff(3, () => 0), 0);
  assert.equal(backoff(3, () => 1), 3200);
  assert.equal(backoff(30, () => 1), 20_000);
});

test('an expired token is renewed and the connection resumes at once', async () => {
  const { connection, sockets, tokens, clock, accept } = setUp();
  connection.start();
  await accept();
  await clock.advance(14_000);
  sockets[0].onclose({ code: 4410 });
  await clock.advance(0);
  assert.equal(sockets.length, 2);
  assert.deepEqual(tokens, [false, true]);
  connection.stop();
});

test('fresh tokens refused again and again end the session', async () => {
  const { connection, sockets, clock, refused, tokens } = setUp();
  connection.start();
  for (let attempt = 0; attempt < 3; attempt += 1) {
    await clock.advance(20_000 * (attempt > 0 ? 1 : 0));
    sockets.at(-1).onopen?.();
    sockets.at(-1).onclose({ code: 4401 });
  }
  assert.equal(refused(), 1);
  assert.deepEqual(tokens.slice(0, 2), [false, true]);
  assert.equal(connection.state, 'stopped');
});

test('silence after a PING is a lost connection', async () => {
  const { connection, sockets, clock, accept } = setUp();
  connection.start();
  await accept();
  await clock.advance(15_000);
  assert.equal(sockets[0].sent.at(-1).type, 'PING');
  sockets[0].receive({ type: 'PONG' });
  await clock.advance(15_000);
  assert.equal(connection.state, 'connected');
  await clock.advance(10_000);
  assert.equal(sockets[0].isClosed, true);
  connection.stop();
});

test('a handshake that hangs is given up', async () => {
  const { connection, sockets, clock } = setUp();
  connection.start();
  await settle();
  sockets[0].onopen();
  await clock.advance(10_000);
  assert.equal(sockets[0].isClosed, true);
  assert.equal(connection.state, 'reconnecting');
  connection.stop();
});

test('late news of a connection given up is not heard', async () => {
  const { connection, sockets, frames, clock, accept } = setUp();
  connection.start();
  await accept();
  connection.stop();
  sockets[0].receive({ type: 'MESSAGE', seq: 1 });
  sockets[0].onclose({ code: 1006 });
  await clock.advance(60_000);
  assert.equal(frames.length, 1);
  assert.equal(sockets.length, 1);
});
