// A headless Chromium: Debian's, or the one that CHROMIUM names.

import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

import { chromium } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

function executable() {
  const named = process.env.CHROMIUM;
  const found = named ? [named] : process.env.PATH.split(delimiter).flatMap((folder) => NAMES.map((name) => join(folder, name)));
  const path = found.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  if (!path) throw new Error(`no ${named ?? NAMES.join(', ')}: install the package chromium, or set CHROMIUM`);
  return path;
}

/** Ended with the test `t`. Whatever goes wrong in its pages is in `problems`. */
export async function startBrowser(t) {
  const browser = await chromium.launch({
    executablePath: executable(),
    args: [
      // root has no sandbox, and a test's pages are the test's own
      '--no-sandbox',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
      '--disable-quic',
    ],
  });
  t.after(() => browser.close());
  const problems = [];
  return {
    problems,
    /** A page of somebody with cookies and storage of their own. */
    async newPerson(options) {
      const context = await browser.newContext(options);
      const page = await context.newPage();
      page.setDefaultTimeout(20_000);
      page.on('pageerror', (error) => problems.push(error.stack ?? String(error)));
      return page;
    },
  };
}
