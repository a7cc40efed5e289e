/** Room for bytes on their way, held until they are cached or given up. */

export interface ReservationEvents {
  /** Whether there is room for all that is reserved now. */
  readonly more: () => Promise<boolean>
  readonly refused: () => void
  readonly ended: () => void
}

/** What comes without a length takes its room in steps of so many bytes. */
const stepBytes = 16 * 2 ** 20

export class Reservation {
  readonly owner: string
  /** Of `bytes`, those that are on disk. */
  written = 0
  readonly #events: ReservationEvents
  #bytes = 0

  constructor(owner: string, events: ReservationEvents) {
    this.owner = owner
    this.#events = events
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Room for so many bytes in all. False: there is none, and as much is reserved as before. */
  async cover(bytes: number): Promise<boolean> {
    if (await this.#try(bytes)) return true
    this.#events.refused()
    return false
  }

  /** As `cover`, with what is likely to be needed next. */
  async coverStep(bytes: number): Promise<boolean> {
    return (await this.#try(Math.ceil(bytes / stepBytes) * stepBytes)) || this.cover(bytes)
  }

  release(): void {
    this.#bytes = 0
    this.#events.ended()
  }

  async #try(bytes: number): Promise<boolean> {
    if (bytes <= this.#bytes) return true
    const before = this.#bytes
    this.#bytes = bytes
    if (await this.#events.more()) return true
    this.#bytes = before
    return false
  }
}
