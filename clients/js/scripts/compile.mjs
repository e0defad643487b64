// Runs the TypeScript compiler of this package.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Compiles src into a folder; ends the process when there are errors. */
export function compile(folder, ...flags) {
  const root = new URL('../', import.meta.url);
  const tsc = fileURLToPath(new URL('node_modules/typescript/bin/tsc', root));
  const words = [tsc, '--project', fileURLToPath(root), '--outDir', fileURLToPath(folder), ...flags];
  const { status, error } = spawnSync(process.execPath, words, { stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}
