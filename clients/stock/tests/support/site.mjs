// Somebody's own site with a stock client in its page. REST goes through the site; the client connects to the platform
// itself, which is another origin.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const { resolve } = createRequire(import.meta.url);
const script = (file) => ({ type: 'text/javascript', body: readFileSync(resolve(file)) });
const FILES = {
  '/': { type: 'text/html', body: '<!doctype html><title>Site</title><script src="/stomp.js"></script><script src="/sockjs.js"></script>' },
  '/stomp.js': script('@stomp/stompjs'),
  '/sockjs.js': script('sockjs-client/dist/sockjs.js'),
  // nothing is wrong with a page that has no icon
  '/favicon.ico': { type: 'image/x-icon', body: '' },
};

/** Resolves with the site's origin. `platform()` is where REST is; the site ends with the test `t`. */
export async function startSite(t, platform) {
  const server = createServer(async (request, answer) => {
    const file = FILES[request.url];
    if (file) {
      answer.writeHead(200, { 'content-type': file.type }).end(file.body);
      return;
    }
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { 'content-type': type, authorization } = request.headers;
    const headers = { ...(type && { 'content-type': type }), ...(authorization && { authorization }) };
    const body = chunks.length > 0 ? Buffer.concat(chunks) : undefined;
    const said = await fetch(platform() + request.url, { method: request.method, headers, body });
    answer.writeHead(said.status, { 'content-type': said.headers.get('content-type') ?? 'text/plain' }).end(await said.text());
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://localhost:${server.address().port}`;
}
