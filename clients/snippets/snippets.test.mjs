// Every snippet of docs/clients.md, run as it stands against the one-process server. SNIPPETS=full runs Java too.
import assert from 'node:assert/strict';
import { spawn, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync, mkdirSync, existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';

const here = dirname(fileURLToPath(import.meta.url));
const repository = resolve(here, '../..');
const binary = process.env.CHATCLUSTER_BINARY ?? join(repository, 'target/debug/chatcluster');
const cache = process.env.CHATCLUSTER_CACHE ?? join(homedir(), '.cache/chatcluster');
const python = ['websockets==15.0.1', 'stomp.py==8.2.0', 'websocket-client==1.8.0'];
const text = readFileSync(join(repository, 'docs/clients.md'), 'utf8');
const snippets = new Map([...text.matchAll(/```(\w+) ([\w-]+)\n([\s\S]*?)```/g)].map(([, , name, code]) => [name, code]));
const scratch = mkdtempSync(join(tmpdir(), 'snippets-'));
const patience = 60_000;

let server;
let env;

before(async () => {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  server = spawn(binary, ['run', '--listen', `127.0.0.1:${port}`, '--data-dir', join(scratch, 'data')], { stdio: 'ignore' });
  await until(() => fetch(`${url}/readyz`).then((answer) => answer.ok, () => false));
  const call = async (path, body, token) => {
    const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
    const answer = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) });
    assert.ok(answer.ok, `${path}: ${answer.status}`);
    return answer.json();
  };
  const login = { username: 'ann', password: 'correct horse battery' };
  await call('/v1/users', { ...login, displayName: 'Ann' });
  const { accessToken } = await call('/v1/login', login);
  const { id } = await call('/v1/conversations', { kind: 'group', name: 'team', memberIds: [] }, accessToken);
  env = { ...process.env, CHAT_URL: url, CHAT_TOKEN: accessToken, CHAT_CONVERSATION: id };
});

after(() => {
  server?.kill('SIGKILL');
  rmSync(scratch, { recursive: true, force: true });
});

async function freePort() {
  const listener = createServer().listen(0, '127.0.0.1');
  await new Promise((listening) => listener.once('listening', listening));
  const { port } = listener.address();
  await new Promise((closed) => listener.close(closed));
  return port;
}

async function until(condition) {
  const end = Date.now() + patience;
  while (!(await condition())) {
    assert.ok(Date.now() < end && server.exitCode === null, 'the server is not ready');
    await new Promise((later) => setTimeout(later, 50));
  }
}

// Writes the snippet into a folder of its own and runs the command there. Resolves with what it printed.
function run(name, file, command, extra = {}, cwd = join(scratch, name)) {
  assert.ok(snippets.has(name), `docs/clients.md has no snippet ${name}`);
  mkdirSync(cwd, { recursive: true });
  writeFileSync(join(cwd, file), snippets.get(name));
  return new Promise((done, failed) => {
    const child = spawn(command[0], command.slice(1), { cwd, env: { ...env, ...extra }, stdio: ['ignore', 'pipe', 'pipe'] });
    let printed = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (printed += data));
    const timer = setTimeout(() => child.kill('SIGKILL'), patience * 5);
    child.on('error', failed);
    child.on('close', (code) => {
      clearTimeout(timer);
      if (code === 0) done(printed);
      else failed(new Error(`${name} ended with ${code}:\n${printed}`));
    });
  });
}

test('curl: sign up', async () => {
  assert.match(await run('curl-sign-up', 'snippet.sh', ['bash', 'snippet.sh']), /"kind":"group"/);
});

test('curl: server-sent events', async () => {
  assert.match(await run('curl-events', 'snippet.sh', ['bash', 'snippet.sh']), /id: 1;[\s\S]*hello from curl/);
});

async function inNode(name, said) {
  // beside its modules
  const file = `.snippet-${name}.mjs`;
  try {
    assert.match(await run(name, file, ['node', file], {}, here), new RegExp(`^\\d+: hello from ${said}`, 'm'));
  } finally {
    rmSync(join(here, file), { force: true });
  }
}

for (const [name, said] of [['js-client', 'our client'], ['stompjs', 'stompjs'], ['sockjs', 'SockJS']]) {
  test(`JavaScript: ${name}`, () => inNode(name, said));
}

// the same snippet by each way that SockJS has in Node, which would otherwise choose the first
for (const transport of ['websocket', 'xhr-streaming', 'eventsource', 'xhr-polling']) {
  test(`JavaScript: sockjs by ${transport}`, () => {
    const [name, said] = [`sockjs-${transport}`, `SockJS by ${transport}`];
    const code = snippets.get('sockjs').replace('/sockjs`)', `/sockjs\`, null, { transports: '${transport}' })`);
    assert.ok(code.includes(`'${transport}'`));
    snippets.set(name, code.replaceAll('hello from SockJS', `hello from ${said}`));
    return inNode(name, said);
  });
}

for (const [name, said] of [['python-native', 'Python'], ['stomp-py', 'stomp.py']]) {
  test(`Python: ${name}`, async () => {
    const packages = join(cache, 'snippets-python');
    if (!existsSync(join(packages, 'stomp'))) {
      execFileSync('python3', ['-m', 'pip', 'install', '--quiet', '--target', packages, ...python], { stdio: 'inherit' });
    }
    const printed = await run(name, 'snippet.py', ['python3', 'snippet.py'], { PYTHONPATH: packages });
    assert.match(printed, new RegExp(`^\\d+: hello from ${said}`, 'm'));
  });
}

test('Go', async () => {
  const cwd = join(scratch, 'go-native');
  mkdirSync(cwd, { recursive: true });
  writeFileSync(join(cwd, 'go.mod'), 'module snippet\n\ngo 1.24\n\nrequire github.com/coder/websocket v1.8.14\n');
  const path = `${process.env.PATH}:/usr/local/go/bin`;
  const printed = await run('go-native', 'main.go', ['bash', '-c', 'go mod tidy -e >/dev/null 2>&1; go run .'], { PATH: path });
  assert.match(printed, /^\d+: hello from Go/m);
});

test('Java: Spring', { skip: process.env.SNIPPETS !== 'full' && 'part of make test-full' }, async () => {
  const sources = join(scratch, 'java-spring/src/main/java');
  mkdirSync(sources, { recursive: true });
  writeFileSync(join(scratch, 'java-spring/pom.xml'), readFileSync(join(here, 'pom.xml')));
  writeFileSync(join(sources, 'Hello.java'), snippets.get('java-spring'));
  const command = ['mvn', '-q', '-B', '-Dstyle.color=never', 'compile', 'exec:java', '-Dexec.mainClass=Hello'];
  assert.match(await run('java-spring', 'Hello.txt', command), /^(\x1b\[0m)*\d+: hello from Java/m);
});
