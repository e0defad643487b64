#!/usr/bin/env node
// Runs all test programs of the workspace, some at a time: most of them wait for servers most of the time. The longest of
// the last run go first. Usage: run-tests.mjs [--jobs N] [CARGO ARGUMENTS]
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';

const folder = join(process.env.CARGO_TARGET_DIR ?? 'target', 'test-logs');
const timesFile = join(folder, 'seconds.json');
const arguments_ = process.argv.slice(2);
const jobsAt = arguments_.indexOf('--jobs');
const jobs = jobsAt < 0 ? Math.max(2, Math.ceil(availableParallelism() / 2)) : Number(arguments_.splice(jobsAt, 2)[1]);
// Guesses for a machine where they never ran: whatever is not named is short.
const known = { 'operator/operator': 200, 'testkit/acceptance': 150, 'testkit/faults': 60, 'core/suite': 60 };

async function build() {
  const cargo = spawn('cargo', ['test', '--locked', '--workspace', '--no-run', '--message-format=json-render-diagnostics', ...arguments_], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => cargo.on('close', resolve));
  const programs = [];
  for await (const line of createInterface({ input: cargo.stdout })) {
    const message = JSON.parse(line);
    if (message.reason === 'compiler-artifact' && message.profile.test && message.executable) {
      const home = dirname(message.manifest_path);
      programs.push({ name: `${basename(home)}/${message.target.name}`, executable: message.executable, home });
    }
  }
  const code = await ended;
  if (code !== 0) process.exit(code ?? 1);
  return programs;
}

function run(program) {
  return new Promise((resolve) => {
    const started = Date.now();
    // With cargo's libraries: programs of a workspace may link the standard library of the toolchain.
    const child = spawn(program.executable, [], { cwd: program.home, env: { ...process.env, CARGO_MANIFEST_DIR: program.home } });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (said += text));
    child.on('error', (error) => (said += `${error}\n`));
    child.on('close', (code, signal) => resolve({ ...program, ok: code === 0, code: code ?? signal, said, seconds: (Date.now() - started) / 1000 }));
  });
}

let times = {};
try {
  times = JSON.parse(readFileSync(timesFile, 'utf8'));
} catch {}
const expected = ({ name }) => times[name] ?? known[name] ?? 1;
const queue = (await build()).sort((a, b) => expected(b) - expected(a));
mkdirSync(folder, { recursive: true });
const [total, begun, results, running] = [queue.length, Date.now(), [], new Set()];
const beat = setInterval(() => console.log(`... ${results.length} of ${total} done, running: ${[...running].join(', ')}`), 30_000);
await Promise.all(
  Array.from({ length: jobs }, async () => {
    for (let program = queue.shift(); program; program = queue.shift()) {
      running.add(program.name);
      const result = await run(program);
      running.delete(program.name);
      results.push(result);
      times[result.name] = result.seconds;
      const log = join(folder, `${result.name.replace('/', '-')}.log`);
      writeFileSync(log, result.said);
      const passed = [...result.said.matchAll(/^test result: .*? (\d+) passed; (\d+) failed; (\d+) ignored/gm)];
      const [, count = '0', failed = '?', ignored = '0'] = passed.at(-1) ?? [];
      const state = result.ok ? `${count} passed${ignored === '0' ? '' : `, ${ignored} ignored`}` : `FAILED (${failed} tests, ended with ${result.code}), ${log}`;
      console.log(`[${String(results.length).padStart(3)}/${total}] ${result.name.padEnd(36)} ${result.seconds.toFixed(1).padStart(6)} s  ${state}`);
    }
  }),
);
clearInterval(beat);
writeFileSync(timesFile, JSON.stringify(times));
const failures = results.filter(({ ok }) => !ok);
for (const { name, said } of failures) {
  console.log(`\n--- ${name}\n${said.split('\n').filter((line) => !/^test .* ok$/.test(line)).slice(-200).join('\n')}`);
}
const tests = results.reduce((sum, { said }) => sum + [...said.matchAll(/^test result: .*? (\d+) passed/gm)].reduce((s, [, n]) => s + Number(n), 0), 0);
console.log(`\n${tests} tests passed in ${((Date.now() - begun) / 1000).toFixed(0)} s; ${failures.length ? `FAILED: ${failures.map(({ name }) => name).join(', ')}` : `${total} programs, none failed`}`);
process.exit(failures.length ? 1 : 0);
