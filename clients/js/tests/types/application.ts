// Compiled, never run: an application in TypeScript, without the browser's types.

import { ChatError, Client, type ChatStorage, type ConversationEvent, type Sent, type StateChange } from '@chatcluster/client';

const storage: ChatStorage = { getItem: async () => null, setItem: async () => {} };

const client = new Client({
  url: 'wss://chat.example/ws',
  token: async ({ refused }) => (refused ? 'fresh' : 'kept'),
  storage,
  onEvent(event: ConversationEvent) {
    if (event.type === 'MESSAGE') return void event.content.toUpperCase();
    if (event.type === 'USER_LEFT') return void event.actorId;
    // @ts-expect-error: a reaction has no content
    if (event.type === 'REACTION_ADDED') return void event.content;
  },
  onMissed: async ({ conversationId, from, to }) => void `${conversationId} ${from + to}`,
});

const off: () => void = client.on('state', ({ state, retryInMs }: StateChange) => void `${state} ${retryInMs ?? 0}`);
client.on('failed', (error) => void (error instanceof ChatError && error.clientMsgId));
// @ts-expect-error: there is no such event
client.on('message', () => {});
// @ts-expect-error: onMissed is not optional
new Client({ url: 'wss://chat.example/ws', token: 't', onEvent() {} });

const sent: Promise<Sent> = client.send('c', 'hello', { clientMsgId: 'x' });
void sent.then(({ seq }) => client.read('c', seq));
const joined: Promise<void> = client.join('r', { history: 20 });
client.on('record', ({ roomId, data }) => void [roomId, data]);
// @ts-expect-error: the id of a record is not always there
client.on('record', ({ id }) => void id.length);
void joined.then(() => client.leave('r'));
void client.close({ waitMs: 100 }).then(off);
