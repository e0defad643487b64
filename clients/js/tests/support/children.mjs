// Processes that must not outlive the tests, however those end.

import { spawn } from 'node:child_process';

const running = new Set();

/** Spawns; the child gets `signal` when this process ends before it. */
export function spawnChild(signal, ...words) {
  const child = spawn(...words);
  const end = () => child.kill(signal);
  running.add(end);
  child.once('exit', () => running.delete(end));
  return child;
}

process.once('exit', () => {
  for (const end of running) end();
});
// what the runner sends after its time limit, and a person with Ctrl-C
for (const name of ['SIGTERM', 'SIGINT']) process.once(name, () => process.exit(1));
