/** Numbered things in the order of a key that may change: the least first, of equals the one that was put first. */

export class Heap {
  readonly #keys: Float64Array
  readonly #stamps: Float64Array
  readonly #things: number[] = []
  /** Place in `#things`, plus one. */
  readonly #places: Int32Array
  #stamp = 0

  constructor(count: number) {
    this.#keys = new Float64Array(count)
    this.#stamps = new Float64Array(count)
    this.#places = new Int32Array(count)
  }

  get size(): number {
    return this.#things.length
  }

  get first(): number {
    return this.#things[0] ?? -1
  }

  has(thing: number): boolean {
    return (this.#places[thing] ?? 0) > 0
  }

  key(thing: number): number {
    return this.#keys[thing] ?? 0
  }

  put(thing: number, key: number): void {
    this.#keys[thing] = key
    this.#stamp += 1
    this.#stamps[thing] = this.#stamp
    if (!this.has(thing)) this.#places[thing] = this.#things.push(thing)
    const place = (this.#places[thing] ?? 0) - 1
    this.#down(this.#up(place))
  }

  remove(thing: number): void {
    const place = (this.#places[thing] ?? 0) - 1
    if (place < 0) return
    this.#places[thing] = 0
    const last = this.#things.pop() ?? -1
    if (last === thing) return
    this.#set(place, last)
    this.#down(this.#up(place))
  }

  take(): number {
    const { first } = this
    this.remove(first)
    return first
  }

  #before(a: number, b: number): boolean {
    const difference = this.key(a) - this.key(b)
    return difference === 0 ? (this.#stamps[a] ?? 0) < (this.#stamps[b] ?? 0) : difference < 0
  }

  #set(place: number, thing: number): void {
    this.#things[place] = thing
    this.#places[thing] = place + 1
  }

  #up(place: number): number {
    const thing = this.#things[place] ?? -1
    for (; place > 0; ) {
      const parent = (place - 1) >> 1
      const above = this.#things[parent] ?? -1
      if (!this.#before(thing, above)) break
      this.#set(place, above)
      place = parent
    }
    this.#set(place, thing)
    return place
  }

  #down(place: number): void {
    const thing = this.#things[place] ?? -1
    for (;;) {
      let child = place * 2 + 1
      const [left = -1, right = -1] = [this.#things[child], this.#things[child + 1]]
      if (left < 0) break
      if (right >= 0 && this.#before(right, left)) child += 1
      const least = this.#things[child] ?? -1
      if (!this.#before(least, thing)) break
      this.#set(place, least)
      place = child
    }
    this.#set(place, thing)
  }
}
