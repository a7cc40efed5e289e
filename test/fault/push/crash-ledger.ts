/** What pushing clients were told, and what a store may therefore hold after a crash. */

/** `blob <repository> <digest>`, `manifest <repository> <digest>` or `tag <repository> <tag>`. */
export type Name = `${'blob' | 'manifest' | 'tag'} ${string} ${string}`

/** `held` or `absent`; of a tag the digest that it points at, or `absent`. */
export type Value = string

/** One request that changes something. Those about one name follow each other. */
export interface Step {
  /** The client's port, which tells its connection from all others. Undefined while nothing was answered. */
  port: number | undefined
}

export class Ledger {
  readonly #entries = new Map<Name, { value: Value; step: Step }[]>()
  #touched = new Set<Name>()

  begin(effects: Iterable<readonly [Name, Value]>): Step {
    const step: Step = { port: undefined }
    for (const [name, value] of effects) {
      this.#touched.add(name)
      this.#entriesOf(name).push({ value, step })
    }
    return step
  }

  /** The request was answered, and had none of its effects. */
  refused(step: Step): void {
    for (const [name, entries] of this.#entries)
      this.#entries.set(
        name,
        entries.filter(entry => entry.step !== step),
      )
  }

  /** Every value that the name may have when only these steps are known to have been answered. */
  possible(name: Name, isAnswered = (step: Step) => step.port !== undefined): ReadonlySet<Value> {
    const entries = this.#entries.get(name) ?? []
    const last = entries.findLastIndex(({ step }) => isAnswered(step))
    const values = entries.slice(Math.max(0, last)).map(({ value }) => value)
    return new Set(last < 0 ? ['absent', ...values] : values)
  }

  /** What was found after a crash, which no later one may change. */
  settle(name: Name, value: Value): void {
    this.#entries.set(name, [{ value, step: { port: 0 } }])
  }

  /** The value of a name that no request is open for. */
  value(name: Name): Value {
    return this.#entries.get(name)?.at(-1)?.value ?? 'absent'
  }

  names(): Name[] {
    return [...this.#entries.keys()]
  }

  /** The names that something was done to since the last call. */
  takeTouched(): Name[] {
    const touched = [...this.#touched]
    this.#touched = new Set()
    return touched
  }

  #entriesOf(name: Name) {
    const entries = this.#entries.get(name) ?? []
    this.#entries.set(name, entries)
    return entries
  }
}
