/** Functions that want to be told. */

/** @internal */
export class Listeners<A extends unknown[]> {
  readonly #all = new Set<(...args: A) => unknown>();

  /** Adds a listener; returns how to remove it. From then on it is told nothing. */
  readonly add = (listener: (...args: A) => unknown): (() => void) => {
    // Whoever adds one twice has two.
    const own = (...args: A) => listener(...args);
    this.#all.add(own);
    return () => void this.#all.delete(own);
  };

  tell(...args: A): void {
    for (const listener of this.#all) safely(listener, ...args);
  }
}

/**
 * Calls a function of the user's. What it throws is the program's mistake and shows up as such: it stops neither the other
 * listeners nor the client.
 *
 * @internal
 */
export function safely<A extends unknown[]>(listener: ((...args: A) => unknown) | null | undefined, ...args: A): void {
  try {
    listener?.(...args);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
