import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseFrame } from '../dist/frames.js';
import { message } from './support/fakes.mjs';

const parse = (value) => parseFrame(JSON.stringify(value));

test('events of every kind are events, kinds to come too', () => {
  assert.deepEqual(parse(message('c', 3)), { type: 'EVENT', event: message('c', 3) });
  assert.equal(parse({ type: 'POLL_OPENED', conversationId: 'c', seq: 4 }).type, 'EVENT');
});

test('what is not of its shape is nothing', () => {
  const bad = [
    undefined, new ArrayBuffer(3), '', '{', 'null', '[]', '{}', '{"type":1}', '{"type":"toString"}', '{"type":"__proto__"}',
    JSON.stringify({ type: 'ACK', clientMsgId: 'x', messageId: 'm', conversationId: 'c', seq: '1' }),
    JSON.stringify({ type: 'RESYNC', conversationId: 'c', from: 0, head: 1 }),
    JSON.stringify({ type: 'CONNECTED' }),
    JSON.stringify({ type: 'NOTIFICATION', notification: null }),
    JSON.stringify({ ...message('c', 1), seq: 1.5 }),
    JSON.stringify({ ...message('c', 1), seq: 2 ** 53 }),
    JSON.stringify({ ...message('c', 1), conversationId: undefined }),
  ];
  for (const text of bad) assert.equal(parseFrame(text), undefined, String(text));
});
