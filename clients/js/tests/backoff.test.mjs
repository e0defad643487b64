import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Reconnecting, fullJitter } from '../dist/backoff.js';

const policy = (more = {}) => new Reconnecting({ baseMs: 400, capMs: 20_000, random: () => 1, canRenewToken: true, ...more });
const lost = { code: 0, wasStable: false };
const pauses = (reconnecting, end, count) => Array.from({ length: count }, () => reconnecting.after(end).afterMs);

test('the pause doubles up to a ceiling and is anywhere below it', () => {
  assert.deepEqual(pauses(policy(), lost, 8), [400, 800, 1600, 3200, 6400, 12_800, 20_000, 20_000]);
  assert.deepEqual(pauses(policy({ random: () => 0 }), lost, 3), [0, 0, 0]);
  assert.equal(fullJitter(2_000, { baseMs: 1, capMs: 50 }, () => 0.5), 25);
});

test('a connection that lived ends the series', () => {
  const reconnecting = policy();
  pauses(reconnecting, lost, 5);
  assert.equal(reconnecting.after({ code: 0, wasStable: true }).afterMs, 400);
});

test('try again later and too many connections are never a short pause', () => {
  for (const code of [1013, 4430]) {
    assert.equal(policy({ random: () => 0 }).after({ code, wasStable: true }).afterMs, 1600);
    assert.equal(policy().after({ code, wasStable: true }).afterMs, 3200);
  }
});

test('what only a fix helps is tried seldom', () => {
  for (const code of [1002, 1003, 1007, 1009]) assert.equal(policy().after({ code, wasStable: false }).afterMs, 20_000);
});

test('a restart is spread over a second and is no failure', () => {
  const reconnecting = policy();
  assert.deepEqual(pauses(reconnecting, { code: 1012, wasStable: false }, 3), [1000, 1000, 1000]);
  assert.equal(reconnecting.after(lost).afterMs, 400);
});

test('an expired token is renewed at once', () => {
  assert.deepEqual(policy().after({ code: 4410, wasStable: true }), { kind: 'again', afterMs: 0, renewToken: true });
});

test('tokens refused one after the other are final, also those that come with pauses between them', () => {
  const reconnecting = policy();
  assert.equal(reconnecting.after({ code: 4401, wasStable: false }).renewToken, true);
  reconnecting.after(lost);
  assert.equal(reconnecting.after({ code: 4411, wasStable: false }).kind, 'again');
  const stop = reconnecting.after({ code: 4401, wasStable: false });
  assert.deepEqual([stop.kind, stop.code], ['stop', 'unauthenticated']);
});

test('a connection in between means that tokens work', () => {
  const reconnecting = policy();
  for (let round = 0; round < 10; round += 1) {
    assert.equal(reconnecting.after({ code: 4410, wasStable: false }).kind, 'again');
    reconnecting.connected();
  }
});

test('a token that is just a text cannot be renewed', () => {
  for (const [code, word] of [[4401, 'unauthenticated'], [4410, 'token_expired'], [4411, 'token_revoked']]) {
    assert.equal(policy({ canRenewToken: false }).after({ code, wasStable: true }).code, word);
  }
});
