/** Room for bytes on their way, held until they are cached or given up. */

export interface ReservationEvents {
  /** Makes it so many bytes; false: there is no room, and it is as large as before. */
  readonly grow: (bytes: number) => Promise<boolean>
  readonly refused: () => void
  readonly ended: () => void
}

/** What comes without a length takes its room in steps of so many bytes. */
const stepBytes = 16 * 2 ** 20

export class Reservation {
  readonly owner: string
  bytes: number
  /** Of `bytes`, those that are on disk. */
  written: number
  readonly #events: ReservationEvents

  /** @param written bytes that are on disk already */
  constructor(owner: string, written: number, events: ReservationEvents) {
    this.owner = owner
    this.bytes = written
    this.written = written
    this.#events = events
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
    this.bytes = 0
    this.#events.ended()
  }

  async #try(bytes: number): Promise<boolean> {
    return bytes <= this.bytes || this.#events.grow(bytes)
  }
}
