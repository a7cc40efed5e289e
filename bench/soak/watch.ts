/** What the kernel and the disk say of a running Layover, in lines of some seconds each. */
import { readdirSync } from 'node:fs'
import { memoryOfTree, processesOf } from '../tree.ts'
import { occupancyOf } from './occupancy.ts'

/** Between two looks at the disk. */
const lookEveryMs = 250

export interface Watched {
  readonly residentBytes: number
  /** Shared pages divided among those who share them. */
  readonly proportionalBytes: number
  /** Open ones of all processes: the median of the looks since the last line, as they come and go. */
  readonly descriptors: number
  /** Cached and unfinished bytes. */
  readonly diskBytes: number
  readonly files: number
}

export class Watch implements Disposable {
  /** Cached and unfinished bytes, ever. */
  mostDiskBytes = 0
  looks = 0
  readonly #pid: number
  readonly #store: string
  readonly #capBytes: number
  readonly #looking: NodeJS.Timeout
  #descriptors: number[] = []

  constructor({ pid, store, capBytes }: { pid: number; store: string; capBytes: number }) {
    this.#pid = pid
    this.#store = store
    this.#capBytes = capBytes
    this.#looking = setInterval(() => void this.#look(), lookEveryMs)
  }

  /** A line; the descriptors are the median of the looks since the last one. */
  async take(): Promise<Watched> {
    const { resident, proportional } = await memoryOfTree(this.#pid)
    await this.#look()
    const { cachedBytes, partialBytes, files } = occupancyOf(this.#store)
    const sorted = this.#descriptors.toSorted((a, b) => a - b)
    const descriptors = sorted[Math.floor(sorted.length / 2)] ?? 0
    this.#descriptors = []
    const diskBytes = cachedBytes + partialBytes
    return { residentBytes: resident, proportionalBytes: proportional, descriptors, diskBytes, files }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#looking)
  }

  async #look(): Promise<void> {
    const { cachedBytes, partialBytes } = occupancyOf(this.#store, this.#capBytes)
    this.mostDiskBytes = Math.max(this.mostDiskBytes, cachedBytes + partialBytes)
    this.looks += 1
    const pids = await processesOf(this.#pid)
    this.#descriptors.push(pids.reduce((sum, pid) => sum + descriptorsOf(pid), 0))
  }
}

/** None of a process that has just ended. */
function descriptorsOf(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length
  } catch {
    return 0
  }
}
