// stomp.py over the plain TCP port: stomp_py.py says what it does there.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Server, freePort } from '../../js/tests/support/server.mjs';

const CACHE = process.env.CHATCLUSTER_CACHE ?? join(homedir(), '.cache/chatcluster');
const PACKAGES = join(CACHE, 'stock-python');
const WANTED = ['stomp.py==8.2.0'];

test('stomp.py', async (t) => {
  if (!existsSync(join(PACKAGES, 'stomp'))) {
    execFileSync('python3', ['-m', 'pip', 'install', '--quiet', '--target', PACKAGES, ...WANTED], { stdio: 'inherit' });
  }
  const port = await freePort();
  const server = await Server.start(t, '--stomp-listen', `127.0.0.1:${port}`);
  const ann = await server.person('ann');
  const env = {
    ...process.env,
    PYTHONPATH: PACKAGES,
    STOMP_PORT: String(port),
    CHAT_URL: server.base,
    CHAT_TOKEN: await ann.token(),
    CHAT_CONVERSATION: await server.conversation(ann),
  };
  const script = fileURLToPath(new URL('stomp_py.py', import.meta.url));
  const child = spawn('python3', ['-B', script], { env, stdio: ['ignore', 'pipe', 'pipe'], timeout: 120_000 });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (printed += bytes));
  const code = await new Promise((closed) => child.once('close', closed));
  t.diagnostic(/Ran \d+ tests in [\d.]+s/.exec(printed)?.[0] ?? 'no tests ran');
  if (code !== 0) throw new Error(`stomp.py ended with ${code}:\n${printed}`);
});
