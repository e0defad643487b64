// The whole platform as separate processes on real servers, by the testkit; its gateways can be killed.

import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { Api } from './api.mjs';
import { spawnChild } from './children.mjs';
import { until } from './waiting.mjs';

const TESTKIT = process.env.CHATCLUSTER_TESTKIT ?? fileURLToPath(new URL('../../../../target/debug/testkit', import.meta.url));

export const hasTestkit = existsSync(TESTKIT);

export class Deployment extends Api {
  base;
  /** `{port, pid}` of those that live. */
  gateways;

  /** Started and ready; ended with the test `t`. */
  static async start(t, ...flags) {
    const deployment = new Deployment();
    const child = spawnChild('SIGTERM', TESTKIT, ['up', ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (output += bytes));
    t.after(async () => {
      if (child.exitCode !== null) return;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      // it ends what it started
      child.kill('SIGTERM');
      await gone;
    });
    const isUp = () => {
      if (child.exitCode !== null) throw new Error(`testkit up ended:\n${output}`);
      return output.includes('Ctrl-C stops everything');
    };
    await until('the platform is up', isUp, 180_000);
    deployment.base = /^REST +(\S+)$/mu.exec(output)[1];
    const ports = [...output.matchAll(/^WebSocket +ws:\/\/[^:]+:(\d+)\/ws$/gmu)].map(([, port]) => Number(port));
    const pids = [...output.matchAll(/^ +gateway-\d+ +pid (\d+)$/gmu)].map(([, pid]) => Number(pid));
    deployment.gateways = ports.map((port, index) => ({ port, pid: pids[index] }));
    return deployment;
  }

  /** kill -9 of one gateway. */
  killGateway() {
    process.kill(this.gateways.shift().pid, 'SIGKILL');
  }

  /** The port of any gateway that lives. */
  anyGateway() {
    return this.gateways[Math.floor(Math.random() * this.gateways.length)].port;
  }
}
