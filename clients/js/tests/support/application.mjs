// An application to be killed: it writes down each event that it handled, and sends numbered messages up to a count.
// Started with: url, token, folder, conversation, count.

import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { WebSocket } from 'ws';

import { Client } from '../../dist/index.js';
import { fileStorage } from './files.mjs';

const [url, token, folder, conversationId, count] = process.argv.slice(2);
const handled = join(folder, 'handled');
const sent = join(folder, 'sent');
const lines = (file) => (existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : []);

const client = new Client({
  url,
  token,
  WebSocket,
  storage: fileStorage(folder),
  backoff: { baseMs: 20, capMs: 200 },
  onEvent: ({ seq }) => appendFileSync(handled, `${seq}\n`),
  onMissed: (range) => appendFileSync(handled, `missed ${JSON.stringify(range)}\n`),
});
client.on('sent', ({ clientMsgId }) => appendFileSync(sent, `${clientMsgId}\n`));
client.connect();

// what it does not remember to have sent it sends again, under the same name
const last = Math.max(0, ...lines(sent).map((name) => Number(name.slice(1))));
for (let number = last + 1; number <= Number(count); number += 1) {
  await client.send(conversationId, `number ${number}`, { clientMsgId: `n${number}` });
}
process.send?.('sent');
