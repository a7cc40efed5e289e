/** What clients read from the object store themselves: what is there, and neither here nor on its way here (docs/adr/0013). */
import type { Digest } from '../oci/digest.ts'
import type { RangeSpec } from '../oci/range.ts'
import type { Linked } from '../store/shared/bytes.ts'
import type { Area } from '../store/shared/keys.ts'
import type { Store } from '../store/store.ts'
import type { Flights } from './flights/flights.ts'

export interface LinkAsk {
  /** As asked: object stores give no more than one. */
  readonly ranges: readonly RangeSpec[] | undefined
  /** Undefined: any will do. */
  readonly size: number | undefined
}

export class Links {
  readonly #store: Pick<Store, 'shared'>
  readonly #flights: Pick<Flights, 'find'>

  constructor(store: Pick<Store, 'shared'>, flights: Pick<Flights, 'find'>) {
    this.#store = store
    this.#flights = flights
  }

  /** Whether the client may have it is not asked here. Undefined: the bytes are to be given from here. */
  async find(area: Area, digest: Digest, { ranges, size }: LinkAsk): Promise<Linked | undefined> {
    const { shared } = this.#store
    if (!shared || (ranges?.length ?? 0) > 1 || this.#flights.find(digest)) return undefined
    return shared.bytes.link(area, digest, size)
  }
}
