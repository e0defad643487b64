import assert from 'node:assert/strict';
import { test } from 'node:test';

import { dayLabel, initials, isOnlyEmoji, nameList, pieces, tint } from '../text.js';

test('only web addresses become links, without the punctuation around them', () => {
  const links = (text) => pieces(text).filter(({ href }) => href).map(({ href }) => href);
  assert.deepEqual(links('see https://a.example/b?c=d, and (http://e.example).'), ['https://a.example/b?c=d', 'http://e.example']);
  assert.deepEqual(links('https://a.example/wiki/B_(c)'), ['https://a.example/wiki/B_(c)']);
  assert.deepEqual(links('javascript:alert(1) data:text/html,x ftp://a.example https://'), []);
});

test('the pieces together are the text', () => {
  for (const text of ['', 'plain', 'https://a.example', 'a https://a.example. b http://c.example', 'x\ny']) {
    assert.equal(pieces(text).map((piece) => piece.text).join(''), text);
  }
});

test('a few emoji are large, digits and words are not', () => {
  for (const text of ['👍', '👩‍👩‍👧', '🇩🇪 🇫🇷', '❤️', '👋🏽']) assert.equal(isOnlyEmoji(text), true, text);
  for (const text of ['', '1', 'ok 👍', '👍👍👍👍👍']) assert.equal(isOnlyEmoji(text), false, text);
});

test('names are short in every script and colours stable', () => {
  assert.equal(initials('Ann Marlow'), 'AM');
  assert.equal(initials('şule'), 'Ş');
  assert.equal(initials('𝒳 y'), '𝒳Y');
  assert.equal(initials(''), '?');
  assert.equal(tint('u-1'), tint('u-1'));
  assert.match(tint('anything'), /^tint-[0-9]$/u);
});

test('lists of names and days read like speech', () => {
  assert.equal(nameList(['Ann']), 'Ann');
  assert.equal(nameList(['Ann', 'Bob', 'Cem']), 'Ann, Bob and Cem');
  assert.equal(nameList(['Ann', 'Bob', 'Cem', 'Dora']), 'Ann, Bob and 2 others');
  const now = new Date(2026, 0, 2, 12);
  assert.equal(dayLabel(new Date(2026, 0, 2, 1), now), 'Today');
  assert.equal(dayLabel(new Date(2026, 0, 1, 23), now), 'Yesterday');
});
