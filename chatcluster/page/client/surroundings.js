// Generated from clients/js/src by `npm run page` there. Do not edit.

// What a browser says of the world around the page. Elsewhere there is nothing to hear.
/** Returns the function that ends it. */
export function listenToSurroundings({ onNetwork, onLeaving }) {
    const { addEventListener } = globalThis;
    const ending = new AbortController();
    const { signal } = ending;
    if (typeof addEventListener === 'function') {
        addEventListener('online', onNetwork, { signal });
        addEventListener('offline', onNetwork, { signal });
        addEventListener('pagehide', onLeaving, { signal });
    }
    return () => ending.abort();
}
