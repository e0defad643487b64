// The promise, checked on what was sent, what is stored, and what each client was handed. `check` throws at the first
// thing that is not as promised; history.test.mjs shows that it can.

import assert from 'node:assert/strict';

/**
 * `sent`: `[{sender, content, seq}]` in the order each sender wrote them, `seq` as its promise resolved;
 * `log`: what the server stored; `seen`: what each client was handed, by name; `from`: the first seq they are entitled to.
 */
export function check({ sent, log, seen, from = 1 }) {
  log.forEach(({ seq }, index) => assert.equal(seq, index + 1, 'the log is gapless'));
  const messages = log.filter(({ type }) => type === 'MESSAGE');
  const stored = new Map(messages.map((message) => [message.content, message]));
  assert.equal(stored.size, messages.length, 'nothing is stored twice');
  const last = new Map();
  for (const { sender, content, seq } of sent) {
    const message = stored.get(content);
    assert.ok(message, `${content} was acknowledged and is not stored`);
    assert.equal(seq, message.seq, `${content} has the seq that was acknowledged`);
    assert.ok(seq > (last.get(sender) ?? 0), `${content} stands behind what ${sender} wrote before it`);
    last.set(sender, seq);
  }
  assert.equal(messages.length, sent.length, 'nothing is stored that was not sent');
  const expected = log.filter(({ seq }) => seq >= from);
  for (const [name, events] of Object.entries(seen)) {
    events.forEach((event, index) => {
      assert.equal(event.seq, expected[index]?.seq, `${name} is handed event after event, each once`);
      assert.deepEqual(event, expected[index], `${name} is handed what is stored`);
    });
    assert.equal(events.length, expected.length, `${name} is handed everything`);
  }
}
