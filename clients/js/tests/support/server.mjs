// A real server in one process, to be killed and started again.

import { existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Api } from './api.mjs';
import { spawnChild } from './children.mjs';
import { until } from './waiting.mjs';

const BINARY = process.env.CHATCLUSTER_BINARY ?? fileURLToPath(new URL('../../../../target/debug/chatcluster', import.meta.url));

export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export class Server extends Api {
  #child;
  #folder = mkdtempSync(join(tmpdir(), 'chatcluster-js-'));
  #flags;

  /** Started and ready; ended with the test `t`. A flag may be a function of the server, for what depends on its port. */
  static async start(t, ...flags) {
    if (!existsSync(BINARY)) throw new Error(`no server at ${BINARY}: cargo build --bin chatcluster, or set CHATCLUSTER_BINARY`);
    const server = new Server();
    server.#flags = flags;
    server.port = await freePort();
    t.after(async () => {
      await server.kill();
      rmSync(server.#folder, { recursive: true, force: true });
    });
    await server.run();
    return server;
  }

  get base() {
    return `http://127.0.0.1:${this.port}`;
  }

  get url() {
    return `ws://127.0.0.1:${this.port}/ws`;
  }

  get log() {
    return readFileSync(join(this.#folder, 'log'), 'utf8');
  }

  async run() {
    const log = openSync(join(this.#folder, 'log'), 'a');
    const flags = this.#flags.map((flag) => (typeof flag === 'function' ? flag(this) : flag));
    const words = ['run', '--listen', `127.0.0.1:${this.port}`, '--data-dir', join(this.#folder, 'data'), ...flags];
    this.#child = spawnChild('SIGKILL', BINARY, words, { stdio: ['ignore', log, log] });
    const child = this.#child;
    await until('the server is ready', async () => {
      if (child.exitCode !== null) throw new Error(`the server ended by itself:\n${this.log.slice(-2000)}`);
      const answer = await fetch(`${this.base}/readyz`).catch(() => undefined);
      await answer?.text();
      return answer?.ok;
    });
  }

  /** kill -9, of this process only; SIGTERM for one that goes in order. */
  async kill(signal = 'SIGKILL') {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await gone;
  }
}
