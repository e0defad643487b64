import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

test('the types fit an application that knows neither DOM nor Node', () => {
  const [tsc, project] = ['../node_modules/typescript/bin/tsc', 'types'].map((path) => fileURLToPath(new URL(path, import.meta.url)));
  const { status, stdout } = spawnSync(process.execPath, [tsc, '--project', project], { encoding: 'utf8' });
  assert.equal(status, 0, stdout);
});
