// Clients of real servers that write down what happens to them.

import { WebSocket } from 'ws';

import { Client } from '../../dist/index.js';

/** A connected client of `person` that keeps what it was handed; closed with the test `t`. */
export function watch(t, url, person, options = {}) {
  const seen = [];
  const missed = [];
  const states = [];
  const errors = [];
  const client = new Client({
    url,
    token: person.token,
    WebSocket,
    backoff: { baseMs: 50, capMs: 1_000 },
    onEvent: (event) => void seen.push(event),
    onMissed: (range) => void missed.push(range),
    ...options,
  });
  client.on('state', ({ state }) => states.push(state));
  client.on('error', (error) => errors.push(error));
  client.connect();
  t.after(() => client.close({ waitMs: 100 }));
  return { client, seen, missed, states, errors, of: (id) => seen.filter(({ conversationId }) => conversationId === id) };
}

export const seqs = (events) => events.map(({ seq }) => seq);
export const contents = (events) => events.filter(({ type }) => type === 'MESSAGE').map(({ content }) => content);
export const range = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => from + index);
