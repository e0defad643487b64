// The README's snippets, one after the other as one program, against a real server.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { PASSWORD } from './support/api.mjs';
import { Server } from './support/server.mjs';

const folder = fileURLToPath(new URL('../', import.meta.url));

test('the snippets of the README work', async (t) => {
  const server = await Server.start(t);
  const [ann, bob] = [await server.person('ann'), await server.person('bob')];
  await server.conversation(ann, bob);
  const text = readFileSync(`${folder}README.md`, 'utf8');
  const snippets = [...text.matchAll(/^```js\n(.*?)^```$/gmsu)].map(([, snippet]) => snippet);
  assert.equal(snippets.length, 6);
  const kept = ['resume', 'outbox'].map((part) => `${folder}chat-of-ann.${part}.json`);
  t.after(() => kept.forEach((file) => rmSync(file, { force: true })));

  // the last one closes the first client: only once that one has done its work
  const listen = "let printed = ''; const { log } = console; console.log = (...words) => { printed += words.join(' '); log(...words); };";
  const wait = "while (!printed.includes(': hello')) await new Promise((resolve) => setTimeout(resolve, 10));";
  const program = [listen, ...snippets.slice(0, -1), wait, snippets.at(-1)]
    .join('\n')
    .replace('https://chat.example', server.base)
    .replace('correct horse battery', PASSWORD);
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], { cwd: folder });
  assert.equal(stderr, '');
  const lines = stdout.split('\n').map((line) => line.trim());
  for (const line of ['connecting', 'connected', `${ann.id}: hello`, 'stored as number 1', 'unknown_conversation', 'joined', 'closed']) {
    assert.ok(lines.includes(line), `${line} is in:\n${stdout}`);
  }
  assert.ok(kept.some((file) => existsSync(file)), 'the storage was used');
});
