// Waiting on conditions, never on time.

export async function until(what, condition, withinMs = 30_000) {
  const end = Date.now() + withinMs;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > end) throw new Error(`in ${withinMs / 1000} s it did not come that ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Lets every promise that can go on do so. */
export function settle() {
  return new Promise((resolve) => setImmediate(resolve));
}
