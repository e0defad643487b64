// src -> chatcluster/page/client: the modules that the demo page loads, committed so that the binary is built without
// Node. With --check: exit code 1 when they had drifted.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { compile } from './compile.mjs';

const page = fileURLToPath(new URL('../../../chatcluster/page/client/', import.meta.url));
const banner = '// Generated from clients/js/src by `npm run page` there. Do not edit.\n\n';

const fresh = mkdtempSync(join(tmpdir(), 'chatcluster-page-'));
try {
  compile(pathToFileURL(`${fresh}/`), '--declaration', 'false');
  if (update(filesOf(fresh)) && process.argv.includes('--check')) {
    console.error('chatcluster/page/client was out of date and has been regenerated: commit it');
    process.exitCode = 1;
  }
} finally {
  rmSync(fresh, { recursive: true });
}

/** Files by name, those with nothing to run left out. */
function filesOf(folder) {
  const files = readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')]);
  return new Map(files.filter(([, text]) => !/^export \{\};$/mu.test(text)).map(([name, text]) => [name, banner + text]));
}

/** True when something had to be changed. */
function update(files) {
  mkdirSync(page, { recursive: true });
  let isChanged = false;
  for (const name of readdirSync(page)) {
    if (files.has(name)) continue;
    rmSync(join(page, name));
    isChanged = true;
  }
  const kept = new Set(readdirSync(page));
  for (const [name, text] of files) {
    if (kept.has(name) && readFileSync(join(page, name), 'utf8') === text) continue;
    writeFileSync(join(page, name), text);
    isChanged = true;
  }
  return isChanged;
}
