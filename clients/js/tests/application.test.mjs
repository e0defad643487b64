// The promise, while the application itself is killed: what was not handled is handed out again, and nothing is sent twice.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { spawnChild } from './support/children.mjs';
import { contents, range, seqs, watch } from './support/clients.mjs';
import { Server } from './support/server.mjs';
import { until } from './support/waiting.mjs';

const APPLICATION = fileURLToPath(new URL('support/application.mjs', import.meta.url));

test('an application that is killed again and again goes on where it was', async (t) => {
  const server = await Server.start(t, '--send-rate', '10000');
  const [ann, bob] = [await server.person('ann'), await server.person('bob')];
  const id = await server.conversation(ann, bob);
  const folder = mkdtempSync(join(tmpdir(), 'chatcluster-js-'));
  let child;
  t.after(() => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  });
  const handled = () => readFileSync(join(folder, 'handled'), 'utf8').trimEnd().split('\n');
  const count = 300;
  let isDone = false;
  const start = async () => {
    const words = [APPLICATION, server.url, await ann.token(), folder, id, String(count)];
    child = spawnChild('SIGKILL', process.execPath, words, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    child.on('message', () => (isDone = true));
  };

  const other = watch(t, server.url, bob);
  const others = (async () => {
    for (const number of range(1, 100)) await other.client.send(id, `bob ${number}`);
  })();
  await start();
  let kills = 0;
  while (!isDone && kills < 12) {
    await pause(300 + Math.random() * 500);
    if (isDone) break;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
    kills += 1;
    await start();
  }
  await until('it is through', () => isDone);
  await others;
  const log = await server.events(id, bob);
  await until('the last event was handled', () => handled().at(-1) === String(log.at(-1).seq));

  const own = contents(log).filter((content) => content.startsWith('number'));
  assert.deepEqual(own, range(1, count).map((number) => `number ${number}`), 'each once, in order');
  // at least once: a step back is what was handled and not written down yet when it was killed
  let repeats = 0;
  handled().map(Number).forEach((seq, index, all) => {
    const before = all[index - 1] ?? 0;
    assert.ok(seq <= before + 1, `${seq} after ${before}`);
    if (seq <= before) repeats += 1;
  });
  assert.deepEqual([...new Set(handled().map(Number))].sort((a, b) => a - b), seqs(log));
  assert.ok(repeats <= kills, `${repeats} steps back`);
  t.diagnostic(`${log.length} events, ${kills} kills, ${repeats} steps back`);
});
