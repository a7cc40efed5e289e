/** One run of a task for all who ask for it at the same time. */

export class Coalescer<T> {
  readonly #running = new Map<string, Promise<T>>()

  /**
   * Joins the run under this key, or starts it. Its failure reaches everybody who joined.
   * `joined` tells whether somebody else's run is shared.
   */
  run(key: string, task: () => Promise<T>): { joined: boolean; result: Promise<T> } {
    const running = this.#running.get(key)
    if (running) return { joined: true, result: running }
    const result = task().finally(() => this.#running.delete(key))
    this.#running.set(key, result)
    return { joined: false, result }
  }
}
