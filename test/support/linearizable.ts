/** Whether what clients saw of one register could have happened in some order (Wing and Gong, with Lowe's memory). */

/** Moments are counted, not measured: a smaller one was earlier. */
export interface Operation {
  readonly kind: 'read' | 'write'
  /** What was read or written; undefined: nothing is there, or is to be. */
  readonly value: string | undefined
  readonly calledAt: number
  /** Undefined: nobody knows whether, or when, it took effect. Of writes only. */
  readonly returnedAt: number | undefined
}

/** Writes down what several clients do, in the order in which things begin and end. */
export class History {
  readonly operations: Operation[] = []
  #moment = 0

  call(): number {
    this.#moment += 1
    return this.#moment
  }

  /** It has returned just now. */
  record(kind: Operation['kind'], value: string | undefined, calledAt: number): void {
    this.operations.push({ kind, value, calledAt, returnedAt: this.call() })
  }

  /** A write of which nobody knows. */
  recordUnknown(value: string | undefined, calledAt: number): void {
    this.operations.push({ kind: 'write', value, calledAt, returnedAt: undefined })
  }
}

interface Entry {
  readonly operation: Operation
  readonly number: number
  readonly isCall: boolean
}

/** Undefined when it could have happened; else the first operation that no order explains. The register is empty at first. */
export function unexplained(operations: readonly Operation[]): Operation | undefined {
  const entries = entriesOf(operations)
  const done = new Array<boolean>(operations.length).fill(false)
  const seen = new Set<string>()
  const stack: { number: number; before: string | undefined }[] = []
  let value: string | undefined
  let furthest = -1
  let at = 0
  for (;;) {
    const entry = nextOf(entries, done, at)
    if (entry < 0) return undefined
    const { operation, number, isCall } = entries[entry] as Entry
    if (isCall) {
      at = entry + 1
      if (operation.kind === 'read' && operation.value !== value) continue
      const then = operation.kind === 'write' ? operation.value : value
      done[number] = true
      const key = `${keyOf(done)} ${then}`
      if (seen.has(key)) {
        done[number] = false
        continue
      }
      seen.add(key)
      stack.push({ number, before: value })
      value = then
      at = 0
      continue
    }
    furthest = Math.max(furthest, entry)
    const undone = stack.pop()
    if (!undone) return (entries[furthest] as Entry).operation
    done[undone.number] = false
    value = undone.before
    at = 1 + entries.findIndex(({ number: other, isCall: begins }) => begins && other === undone.number)
  }
}

/** The next that is not explained yet; below zero: nothing is left that has to be. */
function nextOf(entries: readonly Entry[], done: readonly boolean[], from: number): number {
  if (!entries.some(({ number, operation }) => !done[number] && operation.returnedAt !== undefined)) return -1
  for (let at = from; at < entries.length; at += 1) if (!done[(entries[at] as Entry).number]) return at
  return -1
}

/** Who wrote what nobody read, and does not know whether, changes nothing that anybody could tell. */
function entriesOf(operations: readonly Operation[]): Entry[] {
  const read = new Set(operations.filter(({ kind }) => kind === 'read').map(({ value }) => value))
  return operations
    .flatMap((operation, number) => {
      const { calledAt, returnedAt, value } = operation
      if (returnedAt === undefined && !read.has(value)) return []
      const call = { at: calledAt, entry: { operation, number, isCall: true } }
      if (returnedAt === undefined) return [call]
      return [call, { at: returnedAt, entry: { operation, number, isCall: false } }]
    })
    .sort((one, other) => one.at - other.at)
    .map(({ entry }) => entry)
}

function keyOf(done: readonly boolean[]): string {
  const first = done.indexOf(false)
  return `${first} ${done
    .slice(first)
    .map(is => (is ? '1' : '0'))
    .join('')}`
}
