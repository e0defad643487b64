// Who wants to hear of what. Nothing is kept for those who come later, and nobody can break the others.

export class Listeners<Events extends object> {
  readonly #byType = new Map<keyof Events, Set<(value: never) => void>>();
  readonly #onThrow: (thrown: unknown, type: keyof Events) => void;

  /** `onThrow` gets what a listener of `type` threw. */
  constructor(onThrow: (thrown: unknown, type: keyof Events) => void) {
    this.#onThrow = onThrow;
  }

  /** Returns the function that ends it. The same listener counts once. */
  on<Type extends keyof Events>(type: Type, listener: (value: Events[Type]) => void): () => void {
    const listeners = this.#byType.get(type) ?? new Set();
    this.#byType.set(type, listeners);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }

  has(type: keyof Events): boolean {
    return (this.#byType.get(type)?.size ?? 0) > 0;
  }

  emit<Type extends keyof Events>(type: Type, value: Events[Type]): void {
    for (const listener of [...(this.#byType.get(type) ?? [])]) {
      try {
        (listener as (value: Events[Type]) => void)(value);
      } catch (thrown) {
        this.#onThrow(thrown, type);
      }
    }
  }

  clear(): void {
    for (const listeners of this.#byType.values()) listeners.clear();
  }
}
