import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Api, ApiError } from '../api.js';
import { memoryStorage } from './fakes.mjs';

/** Answers `[status, body]` by "METHOD path"; remembers the calls. */
function setUp(answers) {
  const calls = [];
  const signedOut = [];
  let now = 0;
  const storage = memoryStorage();
  const api = new Api({
    storage,
    now: () => now,
    onSignedOut: (reason) => signedOut.push(reason),
    fetch: async (url, { method, headers, body }) => {
      calls.push({ call: `${method} ${url}`, token: headers.authorization, body: body && JSON.parse(body) });
      const [status, answer] = await answers[`${method} ${url}`](calls.at(-1));
      return new Response(status === 204 ? null : JSON.stringify(answer), { status, headers: { 'retry-after': '3' } });
    },
  });
  return { api, calls, storage, signedOut, pass: (seconds) => (now += seconds * 1000) };
}

let issued = 0;
const tokens = () => [200, { accessToken: `a${(issued += 1)}`, refreshToken: `r${issued}`, expiresIn: 900 }];

test('a token is renewed before it expires, once for many callers', async () => {
  const { api, calls, pass } = setUp({
    'POST /v1/login': tokens,
    'POST /v1/token/refresh': tokens,
    'GET /v1/me': ({ token }) => [200, { token }],
  });
  await api.signIn({ username: 'ann', password: 'x' });
  const first = (await api.me()).token;
  pass(850);
  const answers = await Promise.all([api.me(), api.me(), api.me()]);
  assert.equal(calls.filter(({ call }) => call.includes('refresh')).length, 1);
  assert.notEqual(answers[0].token, first);
});

test('a refused access token is renewed and the call made again', async () => {
  let first = true;
  const { api, calls } = setUp({
    'POST /v1/login': tokens,
    'POST /v1/token/refresh': tokens,
    'GET /v1/me': () => (first ? ((first = false), [401, { code: 'token_expired', detail: 'x' }]) : [200, { id: 'u' }]),
  });
  await api.signIn({ username: 'ann', password: 'x' });
  assert.deepEqual(await api.me(), { id: 'u' });
  assert.deepEqual(calls.map(({ call }) => call), ['POST /v1/login', 'GET /v1/me', 'POST /v1/token/refresh', 'GET /v1/me']);
});

test('a refused refresh token signs out; a server that is away does not', async () => {
  let status = 503;
  const { api, signedOut, pass } = setUp({
    'POST /v1/login': tokens,
    'POST /v1/token/refresh': () => [status, { code: 'c', detail: 'd' }],
  });
  await api.signIn({ username: 'ann', password: 'x' });
  pass(10_000);
  await assert.rejects(api.token(), (error) => error.isOffline);
  assert.equal(api.hasSession, true);
  status = 401;
  await assert.rejects(api.token());
  assert.equal(api.hasSession, false);
  assert.equal(signedOut.length, 1);
});

test('problem documents become sentences with their code', async () => {
  const { api } = setUp({ 'POST /v1/users': () => [429, { code: 'rate_limited', detail: 'too many accounts' }] });
  await assert.rejects(
    api.signUp({ username: 'ann', password: 'x', displayName: 'Ann' }),
    (error) =>
      error instanceof ApiError &&
      error.code === 'rate_limited' &&
      error.retryAfter === 3 &&
      error.message === 'Too many accounts. Try again in 3 s.',
  );
});

test('the list of conversations may be bare or wrapped', async () => {
  for (const answer of [[{ id: 'c' }], { conversations: [{ id: 'c' }] }]) {
    const { api } = setUp({ 'POST /v1/login': tokens, 'GET /v1/conversations': () => [200, answer] });
    await api.signIn({ username: 'ann', password: 'x' });
    assert.deepEqual(await api.conversations(), [{ id: 'c' }]);
  }
});

test('a long list is read page by page', async () => {
  const page = (from, count) => Array.from({ length: count }, (_, index) => ({ id: `c${from + index}` }));
  const { api } = setUp({
    'POST /v1/login': tokens,
    'GET /v1/conversations': () => [200, { conversations: page(1000, 100) }],
    'GET /v1/conversations?after=c1099': () => [200, { conversations: page(1100, 3) }],
  });
  await api.signIn({ username: 'ann', password: 'x' });
  assert.equal((await api.conversations()).length, 103);
});
