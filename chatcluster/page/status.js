// What the page says of its connection: the client's states, and how long they have been going on.

/** Failed attempts after which it is "offline" rather than "reconnecting". */
const OFFLINE_AFTER = 3;

export class Status {
  #failures = 0;
  #wasConnected = false;
  #isOnline;
  state = 'stopped';

  /** `isOnline()` is the browser's opinion of the network. */
  constructor({ isOnline = () => true } = {}) {
    this.#isOnline = isOnline;
  }

  /** Takes a state of the client; returns `connecting`, `connected`, `reconnecting`, `offline` or `stopped`. */
  take(state) {
    if (state === 'connected') {
      this.#wasConnected = true;
      this.#failures = 0;
    }
    if (state === 'offline') this.#failures += 1;
    this.state = this.#of(state);
    return this.state;
  }

  #of(state) {
    if (state === 'connected') return 'connected';
    if (state === 'closed') return 'stopped';
    if (this.#failures >= OFFLINE_AFTER || !this.#isOnline()) return 'offline';
    return this.#wasConnected || this.#failures > 0 ? 'reconnecting' : 'connecting';
  }
}
