/** Memory for bodies that are held whole: so many bytes of all of them together. */
export class Room {
  readonly #maxBytes: () => number
  #takenBytes = 0

  constructor(maxBytes: () => number) {
    this.#maxBytes = maxBytes
  }

  /** Whether there was room, which is taken now. */
  take(bytes: number): boolean {
    if (this.#takenBytes + bytes > this.#maxBytes()) return false
    this.#takenBytes += bytes
    return true
  }

  giveBack(bytes: number): void {
    this.#takenBytes -= bytes
  }
}
