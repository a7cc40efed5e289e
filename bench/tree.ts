/** A process and all that it started: what the kernel says of their CPU and memory, added up. */
import { readdir, readFile } from 'node:fs/promises'
import { sum } from './figure.ts'

const ticksPerSecond = 100

export interface CpuSeconds {
  user: number
  system: number
}

export interface MemoryBytes {
  /** What each of them holds; pages that several hold count several times. */
  resident: number
  /** The same with shared pages divided among those who share them: within the tree they count once. */
  proportional: number
}

/** Since their start, of all threads; children that have ended count with whoever waited for them. */
export async function cpuSecondsOfTree(pid: number): Promise<CpuSeconds> {
  const times = await Promise.all((await processesOf(pid)).map(cpuSecondsOf))
  return { user: sum(times.map(({ user }) => user)), system: sum(times.map(({ system }) => system)) }
}

export async function memoryOfTree(pid: number): Promise<MemoryBytes> {
  const held = await Promise.all((await processesOf(pid)).map(memoryOf))
  return {
    resident: sum(held.map(({ resident }) => resident)),
    proportional: sum(held.map(({ proportional }) => proportional)),
  }
}

/** It and its descendants. A child belongs to the thread that started it. */
export async function processesOf(pid: number): Promise<number[]> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => [])
  const children = await Promise.all(
    threads.map(thread => readIfThere(`/proc/${pid}/task/${thread}/children`)),
  )
  const own = children.flatMap(line => line.split(' ').filter(Boolean).map(Number))
  return [pid, ...(await Promise.all(own.map(processesOf))).flat()]
}

async function cpuSecondsOf(pid: number): Promise<CpuSeconds> {
  const stat = await readIfThere(`/proc/${pid}/stat`)
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const seconds = (at: number) => Number(fields[at] ?? 0) / ticksPerSecond
  return { user: seconds(11) + seconds(13), system: seconds(12) + seconds(14) }
}

async function memoryOf(pid: number): Promise<MemoryBytes> {
  const rollup = await readIfThere(`/proc/${pid}/smaps_rollup`)
  const field = (name: string) =>
    Number(new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(rollup)?.[1] ?? 0) * 1024
  return { resident: field('Rss'), proportional: field('Pss') }
}

/** Empty: it has just ended. */
function readIfThere(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '')
}
