/** An object store in memory with conditional writes, whose answers a test can hold back or lose. */
import { setImmediate } from 'node:timers/promises'
import type { Condition, ObjectContent, Objects, ObjectVersion } from '../../src/store/objects.ts'

/** What becomes of a request: carried out and answered, carried out and never answered, or neither. */
export type Fate = 'answered' | 'unheard' | 'lost'

export class MemoryObjects {
  isConditional = true
  readonly #objects = new Map<string, ObjectContent>()
  #count = 0

  /** As one client of it sees it. */
  client(fate: () => Fate = () => 'answered'): Pick<Objects, 'read' | 'put' | 'probe' | 'isConditional'> {
    const { isConditional } = this
    return {
      isConditional,
      probe: async () => {},
      read: key => carried(fate(), () => this.#objects.get(key)),
      put: (key, content, condition) => carried(fate(), () => this.#put(key, content, condition)),
    }
  }

  /** The content, as JSON. */
  told(key: string): unknown {
    const found = this.#objects.get(key)
    return found && JSON.parse(found.content.toString())
  }

  #put(key: string, content: Buffer, condition: Condition | undefined): ObjectVersion | false {
    const now = this.#objects.get(key)?.version
    if (condition === 'absent' ? now !== undefined : condition && condition.version !== now) return false
    this.#count += 1
    const version = String(this.#count)
    this.#objects.set(key, { content, version })
    return version
  }
}

async function carried<T>(fate: Fate, task: () => T): Promise<T> {
  await setImmediate()
  if (fate === 'lost') return new Promise(() => {})
  const result = task()
  if (fate === 'unheard') return new Promise(() => {})
  await setImmediate()
  return result
}
