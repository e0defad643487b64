// The demo page, used by two people in two browsers: by hand, as it were.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PASSWORD } from '../../js/tests/support/api.mjs';
import { Server } from '../../js/tests/support/server.mjs';
import { startBrowser } from './support/browser.mjs';

async function signUp(page, server, username, name) {
  await page.goto(server.base);
  await page.click('#auth-mode-up');
  await page.fill('#auth-username', username);
  await page.fill('#auth-name', name);
  await page.fill('#auth-password', PASSWORD);
  await page.click('#auth-submit');
  await page.waitForSelector('#status[data-state=connected]');
}

async function write(page, text) {
  // not before it is there to be seen
  await page.click('#draft');
  await page.keyboard.type(text);
  await page.press('#draft', 'Enter');
}

const theirs = (page, text) => page.locator('.theirs', { hasText: text });

test('one person writes, the other reads, and the server dies in between', async (t) => {
  const [server, browser] = await Promise.all([Server.start(t), startBrowser(t)]);
  const [ann, bob] = [await browser.newPerson(), await browser.newPerson({ viewport: { width: 360, height: 740 } })];
  await signUp(ann, server, 'ann', 'Ann Marlow');
  await signUp(bob, server, 'bob', 'Bob Okafor');

  await ann.click('#new-conversation');
  await ann.fill('#create-person', 'bob');
  await ann.press('#create-person', 'Enter');
  await write(ann, 'Hello <b>Bob</b> ☃');
  await bob.click('.conversation:has-text("Ann Marlow")');
  await theirs(bob, 'Hello <b>Bob</b> ☃').waitFor();
  await write(bob, 'Hello Ann');
  await theirs(ann, 'Hello Ann').waitFor();

  await server.kill();
  await ann.waitForSelector('#status:not([data-state=connected])');
  await write(ann, 'written while nobody was there');
  await server.run();
  await theirs(bob, 'written while nobody was there').waitFor();
  await write(bob, 'I am here again');
  await theirs(ann, 'I am here again').waitFor();

  for (const [page, texts] of [[ann, ['Hello Ann', 'I am here again']], [bob, ['Hello <b>Bob</b> ☃', 'written while nobody was there']]]) {
    const shown = await page.locator('.theirs').allInnerTexts();
    assert.equal(shown.length, texts.length, `${shown}`);
    for (const [index, text] of texts.entries()) assert.ok(shown[index].includes(text), `${shown[index]}: ${text}`);
  }
  assert.deepEqual(browser.problems, []);
});
