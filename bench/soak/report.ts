/** A soak on paper: a line every some seconds, figures at the end, JSON and a picture. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, totalmem } from 'node:os'
import { GiB, MiB } from '../content.ts'
import type { Figure } from '../figure.ts'
import { median } from '../figure.ts'
import { drawLines } from './picture.ts'

const results = new URL('../results/', import.meta.url)
/** Memory and descriptors are compared with what they were then, or, in a short run, after a third of it. */
const settledSeconds = 300
/** Lines whose median stands for a moment. */
const linesOfMoment = 6

export interface Line {
  readonly seconds: number
  readonly pullsPerSecond: number
  /** Of GETs and of bytes that clients had, the share that upstream did not give. */
  readonly objectHits: number
  readonly byteHits: number
  readonly residentBytes: number
  readonly proportionalBytes: number
  readonly descriptors: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly diskBytes: number
  readonly mostDiskBytes: number
  readonly files: number
  readonly failed: number
  readonly wrong: number
}

export interface Setting {
  readonly minutes: number
  readonly capBytes: number
  readonly workers: number
  readonly built: boolean
}

export interface Soak extends Setting {
  readonly lines: readonly Line[]
  readonly pulls: number
  readonly pushes: number
  /** Bytes of all versions that were ever published, by the cap. */
  readonly churn: number
  readonly failed: Readonly<Record<string, number>>
  readonly wrong: readonly string[]
  readonly mostDiskBytes: number
  readonly looks: number
  /** What Layover's accounts said in the end, and what lay there. */
  readonly counted: { readonly accountBytes: number; readonly diskBytes: number }
  readonly jobsFailed: readonly string[]
}

export const header =
  '   time  pulls/s  hits %  bytes %  RSS MiB  PSS MiB  fds  p50 ms  p99 ms  disk MiB  most MiB  files  failed  wrong'

export function textOf(line: Line): string {
  const mib = (bytes: number) => (bytes / MiB).toFixed(0)
  const cells: [string, number][] = [
    [clockOf(line.seconds), 7],
    [line.pullsPerSecond.toFixed(1), 9],
    [(100 * line.objectHits).toFixed(1), 8],
    [(100 * line.byteHits).toFixed(1), 9],
    [mib(line.residentBytes), 9],
    [mib(line.proportionalBytes), 9],
    [String(line.descriptors), 5],
    [line.p50Ms.toFixed(2), 8],
    [line.p99Ms.toFixed(1), 8],
    [(line.diskBytes / MiB).toFixed(1), 10],
    [(line.mostDiskBytes / MiB).toFixed(1), 10],
    [String(line.files), 7],
    [String(line.failed), 8],
    [String(line.wrong), 7],
  ]
  return cells.map(([text, width]) => text.padStart(width)).join('')
}

/** @returns the figures, of which those without a goal are only told */
export function figuresOf(soak: Soak): Figure[] {
  const { lines, capBytes, mostDiskBytes, wrong, counted, jobsFailed } = soak
  const failed = Object.values(soak.failed).reduce((sum, count) => sum + count, 0)
  const above = Math.max(0, mostDiskBytes - capBytes)
  const hits = (of: keyof Line) => `${(100 * median(lines.map(line => line[of]))).toFixed(1)} %`
  return [
    growth(lines, 'memory (PSS)', line => line.proportionalBytes / MiB, ' MiB'),
    growth(lines, 'descriptors', line => line.descriptors, ''),
    told('bytes above the cap, ever', '0', `${above} in ${soak.looks} looks`, above === 0),
    told('wrong answers', '0', String(wrong.length), wrong.length === 0),
    told(
      'failed requests',
      '0',
      `${failed} ${Object.entries(soak.failed)
        .map(([why, count]) => `${count}× ${why}`)
        .join('; ')}`,
      failed === 0,
    ),
    told(
      'accounts less what lies there',
      '0',
      `${counted.accountBytes - counted.diskBytes} bytes`,
      counted.accountBytes === counted.diskBytes,
    ),
    told(
      'collections and scrubs that failed',
      '0',
      [jobsFailed.length, ...jobsFailed].join('; '),
      jobsFailed.length === 0,
    ),
    told('published, by the cap', '≥ 10', soak.churn.toFixed(1), soak.churn >= 10),
    told('pulls of images; builds pushed', '', `${soak.pulls}; ${soak.pushes}`),
    told('hits, median of the lines: objects; bytes', '', `${hits('objectHits')}; ${hits('byteHits')}`),
    told(
      'a cached manifest, median of the lines: p50; p99',
      '',
      `${median(lines.map(line => line.p50Ms)).toFixed(2)}; ${median(lines.map(line => line.p99Ms)).toFixed(1)} ms`,
    ),
  ]
}

/** Something is not as it must be; a ratio that was missed is none of that. */
export function isWrong({ wrong, failed, mostDiskBytes, capBytes, counted, jobsFailed }: Soak): boolean {
  return (
    wrong.length > 0 ||
    jobsFailed.length > 0 ||
    Object.keys(failed).length > 0 ||
    mostDiskBytes > capBytes ||
    counted.accountBytes !== counted.diskBytes
  )
}

/** Below `bench/results/`; the names of the files. */
export function saveSoak(soak: Soak, figures: readonly Figure[]): string[] {
  const at = new Date().toISOString()
  const machine = {
    cpu: cpus()[0]?.model,
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / GiB),
    node: process.version,
  }
  const report = figures.map(figure => ({ row: 'soak', ...figure }))
  const caption = `${at.slice(0, 10)}, ${machine.cpu}, Node ${machine.node}, ${soak.minutes} minutes, ${soak.workers === 1 ? 'one process' : `${soak.workers} workers`}`
  const kinds = {
    json: `${JSON.stringify({ at, ...machine, built: soak.built, report, soak }, undefined, 2)}\n`,
    svg: drawLines(soak.lines, { capBytes: soak.capBytes, caption }),
  }
  mkdirSync(results, { recursive: true })
  return Object.entries(kinds).map(([kind, content]) => {
    const name = `${at.replaceAll(':', '-')}-soak.${kind}`
    writeFileSync(new URL(name, results), content)
    return `bench/results/${name}`
  })
}

function growth(lines: readonly Line[], what: string, of: (line: Line) => number, unit: string): Figure {
  const end = lines.at(-1)?.seconds ?? 0
  const from = end > 2 * settledSeconds ? settledSeconds : end / 3
  const at = lines.findIndex(({ seconds }) => seconds >= from)
  const early = median(lines.slice(at, at + linesOfMoment).map(of))
  const late = median(lines.slice(-linesOfMoment).map(of))
  const measured = `${(late / early).toFixed(3)} (${early.toFixed(0)} to ${late.toFixed(0)}${unit})`
  return told(`${what} at the end / after ${clockOf(from)}`, '≤ 1.05', measured, late / early <= 1.05)
}

function told(figure: string, goal: string, measured: string, reached?: boolean): Figure {
  return { figure, goal, measured, reached }
}

function clockOf(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`
}
