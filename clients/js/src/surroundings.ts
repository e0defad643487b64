// What a browser says of the world around the page. Elsewhere there is nothing to hear.

export interface News {
  /** The network came or went. */
  onNetwork: () => void;
  /** The page may be gone in a moment. */
  onLeaving: () => void;
}

/** Returns the function that ends it. */
export function listenToSurroundings({ onNetwork, onLeaving }: News): () => void {
  const { addEventListener } = globalThis as { addEventListener?: typeof globalThis.addEventListener };
  const ending = new AbortController();
  const { signal } = ending;
  if (typeof addEventListener === 'function') {
    addEventListener('online', onNetwork, { signal });
    addEventListener('offline', onNetwork, { signal });
    addEventListener('pagehide', onLeaving, { signal });
  }
  return () => ending.abort();
}
