// Timers by name: setting one again replaces it, and all of them can be ended at once. And how long to wait.

import { fullJitter } from './client/index.js';

/** Milliseconds before the next attempt at something that failed. */
export function backoff(attempt, random = Math.random) {
  return fullJitter(attempt, { baseMs: 400, capMs: 20_000 }, random);
}

export const systemClock = {
  now: () => Date.now(),
  setTimeout: (action, delay) => setTimeout(action, delay),
  clearTimeout: (timer) => clearTimeout(timer),
};

export class Timers {
  #clock;
  #running = new Map();

  constructor(clock = systemClock) {
    this.#clock = clock;
  }

  has(name) {
    return this.#running.has(name);
  }

  set(name, delay, action) {
    this.clear(name);
    const timer = this.#clock.setTimeout(() => {
      this.#running.delete(name);
      action();
    }, delay);
    this.#running.set(name, timer);
  }

  clear(name) {
    if (!this.#running.has(name)) return;
    this.#clock.clearTimeout(this.#running.get(name));
    this.#running.delete(name);
  }

  clearAll() {
    for (const name of [...this.#running.keys()]) this.clear(name);
  }
}
