// The few REST calls that tests need.

/** Everybody's. */
export const PASSWORD = 'a good password 1';

export class Api {
  async call(method, path, body, token) {
    const response = await fetch(this.base + path, {
      method,
      headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }

  /** A new user; `token` is what a client is given. */
  async person(username) {
    const { id } = await this.call('POST', '/v1/users', { username, password: PASSWORD, displayName: username });
    let kept;
    const token = async ({ refused = false } = {}) => {
      if (refused || !kept) kept = (await this.call('POST', '/v1/login', { username, password: PASSWORD })).accessToken;
      return kept;
    };
    return { id, username, token };
  }

  /** The id of a new conversation of these people. */
  async conversation(...people) {
    const body = { kind: 'group', name: 'test', memberIds: people.slice(1).map(({ id }) => id) };
    return (await this.call('POST', '/v1/conversations', body, await people[0].token())).id;
  }

  /** Watermarks `{deliveredSeq, readSeq}` by user id. */
  async receipts(conversationId, person) {
    const answer = await this.call('GET', `/v1/conversations/${conversationId}/receipts`, undefined, await person.token());
    return new Map((answer.receipts ?? answer).map((receipt) => [receipt.userId, receipt]));
  }

  /** All events that are stored. */
  async events(conversationId, person) {
    const token = await person.token();
    const all = [];
    for (;;) {
      const after = all.at(-1)?.seq ?? 0;
      const { events } = await this.call('GET', `/v1/conversations/${conversationId}/events?after=${after}&limit=200`, undefined, token);
      if (events.length === 0) return all;
      all.push(...events);
    }
  }
}
