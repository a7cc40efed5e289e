/** Pins that somebody asked for, beside those of the configuration: kept in one small file of the store. */
import { isDigest } from '../oci/digest.ts'
import { isRepositoryName, isTag } from '../oci/name.ts'
import { parseReference, type Reference, referenceText } from '../oci/reference.ts'
import { isSameRepository, type RepositoryKey } from '../store/layout.ts'
import type { Store } from '../store/store.ts'

export interface AskedPin extends RepositoryKey {
  /** Undefined: all that the repository holds. */
  readonly reference: Reference | undefined
}

interface StoredPin {
  readonly registry?: unknown
  readonly repository?: unknown
  readonly reference?: unknown
}

/** Everything rejects with an error of the disk. One call after the other. */
export class AskedPins {
  readonly #store: Pick<Store, 'layout' | 'records'>

  constructor(store: Pick<Store, 'layout' | 'records'>) {
    this.#store = store
  }

  async list(): Promise<readonly AskedPin[]> {
    const { layout, records } = this.#store
    const found = await records.read(layout.pins)
    const pins = found?.record.pins
    return Array.isArray(pins) ? pins.flatMap(pin => parsePin(pin as StoredPin) ?? []) : []
  }

  async add(pin: AskedPin): Promise<void> {
    const pins = await this.list()
    if (!pins.some(other => isSame(other, pin))) await this.#save([...pins, pin])
  }

  /** False when there was none. */
  async remove(pin: AskedPin): Promise<boolean> {
    const pins = await this.list()
    const left = pins.filter(other => !isSame(other, pin))
    if (left.length === pins.length) return false
    await this.#save(left)
    return true
  }

  #save(pins: readonly AskedPin[]): Promise<void> {
    const { layout, records } = this.#store
    const stored = pins.map(({ registry, repository, reference }) => ({
      registry,
      repository,
      ...(reference ? { reference: referenceText(reference) } : {}),
    }))
    return records.save(layout.pins, { v: 1, pins: stored }, { durable: true })
  }
}

/** What is none is left out: of a file that a person has edited. */
function parsePin({ registry, repository, reference }: StoredPin): AskedPin | undefined {
  if (typeof registry !== 'string' || typeof repository !== 'string' || !isRepositoryName(repository))
    return undefined
  if (reference === undefined) return { registry, repository, reference: undefined }
  if (typeof reference !== 'string' || !(isTag(reference) || isDigest(reference))) return undefined
  return { registry, repository, reference: parseReference(reference) }
}

function isSame(one: AskedPin, other: AskedPin): boolean {
  return isSameRepository(one, other) && textOf(one) === textOf(other)
}

function textOf({ reference }: AskedPin): string | undefined {
  return reference && referenceText(reference)
}
