// Timers by name: setting one again replaces it, and all of them can be ended at once.

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
