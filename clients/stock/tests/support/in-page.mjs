// What runs in a page, where the stock clients are global. The functions are sent there as text: they share nothing.

/* global window, StompJs, SockJS */

export async function signUp({ username, password }) {
  window.call = async (path, body) => {
    const headers = { 'content-type': 'application/json', ...(window.token && { authorization: `Bearer ${window.token}` }) };
    const answer = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  };
  await window.call('/v1/users', { username, password, displayName: username });
  window.token = (await window.call('/v1/login', { username, password })).accessToken;
}

export async function startConversation(other) {
  return (await window.call('/v1/conversations', { kind: 'dm', memberIds: [other] })).id;
}

/**
 * Sends `texts` by a SockJS transport, or by a plain WebSocket, and lets the other person say `last`. Resolves when all
 * came back, and closed.
 */
export function talk({ base, transport, conversation, texts, last }) {
  return new Promise((done, failed) => {
    const said = { contents: [], seqs: [], receipts: 0 };
    const socket = transport && new SockJS(`${base}/sockjs`, null, { transports: transport });
    const timer = setTimeout(() => failed(new Error(`${transport} waits with ${JSON.stringify(said)}`)), 20_000);
    const client = new StompJs.Client({
      ...(socket ? { webSocketFactory: () => socket } : { brokerURL: `${base.replace('http', 'ws')}/ws` }),
      connectHeaders: { passcode: window.token },
      reconnectDelay: 0,
      onStompError: ({ headers }) => failed(new Error(`${transport}: ${headers.message}`)),
      onWebSocketClose: ({ code }) => {
        clearTimeout(timer);
        done({ ...said, code });
      },
      onConnect() {
        said.transport = socket?.transport;
        const finish = () => said.contents.length > texts.length && said.receipts === texts.length && client.deactivate();
        const take = (message) => {
          const { content, seq } = JSON.parse(message.body);
          said.contents.push(content);
          said.seqs.push(seq);
          message.ack();
          finish();
        };
        client.watchForReceipt('live', () => {
          for (const [index, body] of texts.entries()) {
            client.watchForReceipt(`stored-${index}`, () => {
              said.receipts += 1;
              finish();
            });
            client.publish({
              destination: `/app/conversations/${conversation}/messages`,
              body,
              headers: { receipt: `stored-${index}` },
            });
          }
          window.otherSays(last);
        });
        client.subscribe('/user/queue/messages', take, { ack: 'client', receipt: 'live' });
      },
    });
    client.activate();
  });
}
