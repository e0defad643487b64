// stompjs and sockjs-client as their users load them, in a page of another origin: each way that a browser has.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { PASSWORD } from '../../js/tests/support/api.mjs';
import { Server } from '../../js/tests/support/server.mjs';
import { startBrowser } from './support/browser.mjs';
import { signUp, startConversation, talk } from './support/in-page.mjs';
import { startSite } from './support/site.mjs';

const TRANSPORTS = [
  'websocket',
  'xhr-streaming',
  'eventsource',
  'iframe-eventsource',
  'iframe-htmlfile',
  'xhr-polling',
  'iframe-xhr-polling',
  'jsonp-polling',
];
const COUNT = 20;

// what was started for all tests ends after the last one
const ends = [];
const all = { after: (end) => ends.push(end) };
let server;
let browser;
let page;
let conversation;

before(async () => {
  const site = await startSite(all, () => server.base);
  const flags = ['--sockjs-client-url', `${site}/sockjs.js`, '--allowed-origins', ({ base }) => `${site},${base}`];
  [server, browser] = await Promise.all([Server.start(all, ...flags), startBrowser(all)]);
  page = await browser.newPerson();
  await page.goto(site);
  await page.evaluate(signUp, { username: 'ann', password: PASSWORD });
  const bob = await server.person('bob');
  conversation = await page.evaluate(startConversation, bob.id);
  await page.exposeFunction('otherSays', async (content) => {
    const message = { clientMsgId: crypto.randomUUID(), content };
    await server.call('POST', `/v1/conversations/${conversation}/messages`, message, await bob.token());
  });
});

after(async () => {
  for (const end of ends.reverse()) await end();
});

async function check(transport) {
  const [texts, last] = [Array.from({ length: COUNT }, (_, index) => `${transport} ${index} ☃ "😀" \u2028`), `bob: ${transport}`];
  const said = await page.evaluate(talk, { base: server.base, transport, conversation, texts, last });
  assert.deepEqual(said.contents.filter((content) => content !== last), texts, 'in the order they were sent in, each once');
  assert.equal(said.contents.length, COUNT + 1);
  assert.deepEqual(said.seqs, said.seqs.map((_, index) => said.seqs[0] + index), 'none is missing');
  assert.equal(said.receipts, COUNT);
  assert.deepEqual(browser.problems, []);
  return said;
}

test('stompjs', async () => {
  assert.equal((await check()).code, 1000);
});

for (const transport of TRANSPORTS) {
  test(`stompjs over sockjs-client: ${transport}`, async () => {
    const said = await check(transport);
    assert.equal(said.transport, transport);
  });
}

test('a page of an origin that is not listed gets nowhere', async (t) => {
  const other = await startSite(t, () => server.base);
  const stranger = await browser.newPerson();
  await stranger.goto(other);
  await stranger.evaluate(signUp, { username: 'eve', password: PASSWORD });
  for (const transport of [undefined, 'xhr-polling', 'iframe-xhr-polling', 'jsonp-polling']) {
    const said = await stranger.evaluate(talk, { base: server.base, transport, conversation, texts: ['let me in'], last: '' });
    assert.deepEqual(said.contents, []);
    assert.equal(said.transport, undefined, `${transport} has connected`);
  }
});
