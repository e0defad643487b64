// REST calls and the two tokens. The access token lives in memory only; the refresh token in the storage it is given
// (sessionStorage in the page, so that two windows can be two people and a reload stays signed in).

import { sentence } from './text.js';

const REFRESH_KEY = 'chatcluster.refreshToken';
/** Seconds before its expiry at which an access token counts as used up. */
const EARLY_SECONDS = 60;
/** No list has pages shorter than this but for its last one. */
const FULL_PAGE = 50;

/** A refusal, with the stable `code` of the problem document; status 0 means that no answer came. */
export class ApiError extends Error {
  constructor(status, code, detail, retryAfter = null) {
    super(detail);
    this.name = 'ApiError';
    this.status = status;
    this.code = code;
    /** Seconds the server asks to wait, or null. */
    this.retryAfter = retryAfter;
  }

  get isOffline() {
    return this.status === 0 || this.status === 502 || this.status === 503 || this.status === 504;
  }
}

export class Api {
  #access = null;
  #expiresAt = 0;
  #refreshing = null;
  #fetch;
  #storage;
  #now;
  #base;

  /** `onSignedOut(reason)` is called when the refresh token is no longer accepted. */
  constructor({ fetch, storage, now = Date.now, base = '', onSignedOut = () => {} }) {
    this.#fetch = fetch;
    this.#storage = storage;
    this.#now = now;
    this.#base = base;
    this.onSignedOut = onSignedOut;
  }

  get hasSession() {
    return this.#storage.getItem(REFRESH_KEY) !== null;
  }

  signUp({ username, password, displayName }) {
    return this.#call('POST', '/v1/users', { username, password, displayName }, null);
  }

  async signIn({ username, password }) {
    this.#keep(await this.#call('POST', '/v1/login', { username, password }, null));
  }

  /** Ends the session on the server where it can be reached, and here in any case. */
  async signOut() {
    const refreshToken = this.#storage.getItem(REFRESH_KEY);
    const access = this.#access;
    this.#forget();
    if (refreshToken === null) return;
    try {
      await this.#call('POST', '/v1/logout', { refreshToken }, access);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
    }
  }

  /** An access token good for at least a while; `force` fetches a new one although the old looks good. */
  async token({ force = false } = {}) {
    if (!force && this.#access !== null && this.#now() < this.#expiresAt) return this.#access;
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  /** Milliseconds until the access token should be renewed. */
  get renewIn() {
    return Math.max(0, this.#expiresAt - this.#now());
  }

  me() {
    return this.#authorised('GET', '/v1/me');
  }

  user(id) {
    return this.#authorised('GET', `/v1/users/${encodeURIComponent(id)}`);
  }

  userByName(username) {
    return this.#authorised('GET', `/v1/users?username=${encodeURIComponent(username)}`);
  }

  conversations() {
    return this.#pages('/v1/conversations', 'conversations');
  }

  createConversation({ kind, name, memberIds }) {
    return this.#authorised('POST', '/v1/conversations', name ? { kind, name, memberIds } : { kind, memberIds });
  }

  members(id) {
    return this.#pages(`${path(id)}/members`, 'members');
  }

  addMember(id, userId) {
    return this.#authorised('POST', `${path(id)}/members`, { userId });
  }

  removeMember(id, userId) {
    return this.#authorised('DELETE', `${path(id)}/members/${encodeURIComponent(userId)}`);
  }

  /** Messages with seq < `before`, ascending. */
  async messages(id, { before, limit }) {
    const answer = await this.#authorised('GET', `${path(id)}/messages?before=${before}&limit=${limit}`);
    return (answer?.messages ?? answer ?? []).toSorted((a, b) => a.seq - b.seq);
  }

  /** Events with seq > `after`, ascending. */
  async events(id, { after, limit }) {
    const answer = await this.#authorised('GET', `${path(id)}/events?after=${after}&limit=${limit}`);
    return (answer?.events ?? answer ?? []).toSorted((a, b) => a.seq - b.seq);
  }

  /** `[{userId, deliveredSeq, readSeq}]` */
  async receipts(id) {
    const answer = await this.#authorised('GET', `${path(id)}/receipts`);
    return Array.isArray(answer) ? answer : (answer?.receipts ?? []);
  }

  /** A list that the server hands out in pages by id; a short page is the last one. */
  async #pages(url, name) {
    const found = new Map();
    for (let query = ''; ; ) {
      const answer = await this.#authorised('GET', url + query);
      const page = Array.isArray(answer) ? answer : (answer?.[name] ?? []);
      const before = found.size;
      for (const item of page) found.set(item.id ?? item.userId, item);
      if (page.length < FULL_PAGE || found.size === before) return [...found.values()];
      query = `?after=${encodeURIComponent([...found.keys()].at(-1))}`;
    }
  }

  async #authorised(method, url, body) {
    try {
      return await this.#call(method, url, body, await this.token());
    } catch (error) {
      if (error.status !== 401 || !this.hasSession) throw error;
      return this.#call(method, url, body, await this.token({ force: true }));
    }
  }

  async #refresh() {
    const refreshToken = this.#storage.getItem(REFRESH_KEY);
    if (refreshToken === null) throw new ApiError(401, 'unauthenticated', 'You are signed out.');
    try {
      const answer = await this.#call('POST', '/v1/token/refresh', { refreshToken }, null);
      // a sign-out while the answer was on its way wins
      if (this.#storage.getItem(REFRESH_KEY) !== refreshToken) {
        throw new ApiError(401, 'unauthenticated', 'You are signed out.');
      }
      return this.#keep(answer);
    } catch (error) {
      const refused = error.status >= 400 && error.status < 500 && error.status !== 429 && error.status !== 408;
      if (refused && this.#storage.getItem(REFRESH_KEY) === refreshToken) {
        this.#forget();
        this.onSignedOut('Your session has ended. Please sign in again.');
      }
      throw error;
    }
  }

  #keep({ accessToken, refreshToken, expiresIn }) {
    this.#access = accessToken;
    // a short-lived token is renewed after half its life rather than at once
    const seconds = Math.max(expiresIn - EARLY_SECONDS, expiresIn / 2);
    this.#expiresAt = this.#now() + seconds * 1000;
    if (refreshToken) this.#storage.setItem(REFRESH_KEY, refreshToken);
    return accessToken;
  }

  #forget() {
    this.#access = null;
    this.#expiresAt = 0;
    this.#storage.removeItem(REFRESH_KEY);
  }

  async #call(method, url, body, token) {
    const headers = { accept: 'application/json' };
    if (body !== undefined) headers['content-type'] = 'application/json';
    if (token) headers.authorization = `Bearer ${token}`;
    let response;
    try {
      response = await this.#fetch(this.#base + url, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        cache: 'no-store',
      });
    } catch {
      throw new ApiError(0, 'offline', 'The server cannot be reached. Check your connection and try again.');
    }
    if (!response.ok) throw await refusal(response);
    const text = await response.text();
    return text === '' ? null : JSON.parse(text);
  }
}

function path(id) {
  return `/v1/conversations/${encodeURIComponent(id)}`;
}

async function refusal(response) {
  let problem = {};
  try {
    problem = JSON.parse(await response.text()) ?? {};
  } catch {
    // not a problem document: the status has to do
  }
  const wait = Number.parseInt(response.headers.get('retry-after') ?? '', 10);
  const retryAfter = Number.isFinite(wait) ? wait : null;
  let detail = sentence(problem.detail ?? problem.title ?? `The server answered ${response.status}.`);
  if (response.status === 429 && retryAfter !== null) detail += ` Try again in ${retryAfter} s.`;
  return new ApiError(response.status, problem.code ?? 'unknown', detail, retryAfter);
}
