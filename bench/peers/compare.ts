/** One work asked of every server in turn, round after round: rates, their ratio to the one that is the measure, and what it costs. */
import { GiB, MiB } from '../content.ts'
import { type Compared, type Figure, median, spread, sum } from '../figure.ts'
import type { Load } from './load.ts'
import { ours, type Stall, type Stand } from './stand.ts'

const warmUpSeconds = 1

export interface Work {
  what: string
  unit: Compared['unit']
  /** Of Layover's rate to that of the measure. */
  goal?: number
  rounds: number
  seconds: number
  load: (stall: Stall, seconds: number) => Promise<Load>
}

interface Measured {
  load: Load
  cpuSeconds: number
}

/** A work that breaks is a figure that was missed; the others still run. */
export async function compare(stand: Stand, work: Work): Promise<Figure[]> {
  try {
    return await compareAll(stand, work)
  } catch (error) {
    const measured = error instanceof Error ? error.message : String(error)
    return [{ figure: work.what, goal: '', measured, reached: false }]
  }
}

async function compareAll({ stalls, against, pace }: Stand, work: Work): Promise<Figure[]> {
  const measured = new Map<Stall, Measured[]>(stalls.map(stall => [stall, []]))
  for (const stall of stalls) await measure(stall, work, warmUpSeconds)
  for (let round = 0; round < pace.rounds(work.rounds); round += 1) {
    for (const stall of rotated(stalls, round))
      measured.get(stall)?.push(await measure(stall, work, pace.seconds(work.seconds)))
  }
  const limit = [...measured].find(([{ name }]) => name === against)?.[1] ?? []
  const figures: Figure[] = []
  for (const [stall, runs] of measured)
    figures.push(figure(await account(stall, work, { runs, limit, against })))
  return figures
}

/** The first to go changes from round to round. */
function rotated<T>(items: readonly T[], by: number): T[] {
  const first = by % items.length
  return [...items.slice(first), ...items.slice(0, first)]
}

async function measure(stall: Stall, { what, load }: Work, seconds: number): Promise<Measured> {
  const before = await stall.server.cpuSeconds()
  const came = await load(stall, seconds)
  const after = await stall.server.cpuSeconds()
  if (came.failed > 0)
    throw new Error(`${what}: ${came.failed} of ${came.requests} answers of ${stall.name} were not right`)
  return { load: came, cpuSeconds: after.user + after.system - before.user - before.system }
}

function done({ unit }: Work, { load }: Measured): number {
  return unit === 'bytes/s' ? load.bytes : load.requests
}

function rates(work: Work, runs: readonly Measured[]): number[] {
  return runs.map(run => done(work, run) / run.load.seconds)
}

function perCpuSecond(work: Work, runs: readonly Measured[]): number {
  return sum(runs.map(run => done(work, run))) / sum(runs.map(({ cpuSeconds }) => cpuSeconds))
}

async function account(
  { name, server }: Stall,
  work: Work,
  { runs, limit, against }: { runs: readonly Measured[]; limit: readonly Measured[]; against: string },
): Promise<Compared> {
  const { proportional } = await server.memoryBytes()
  const cpuSeconds = sum(runs.map(run => run.cpuSeconds))
  const loads = runs.map(({ load }) => load)
  const of = (key: 'p50Ms' | 'p99Ms' | 'clientBusy') => median(loads.map(load => load[key]))
  const own = rates(work, runs)
  return {
    work: work.what,
    server: name,
    against,
    unit: work.unit,
    rates: own,
    ratios: rates(work, limit).map((rate, round) => (own[round] ?? Number.NaN) / rate),
    cpuRatio: limit.length === 0 ? undefined : perCpuSecond(work, runs) / perCpuSecond(work, limit),
    p50Ms: of('p50Ms'),
    p99Ms: of('p99Ms'),
    cpuMicrosPerRequest: (cpuSeconds / sum(loads.map(({ requests }) => requests))) * 1e6,
    cpuSecondsPerGiB: cpuSeconds / (sum(loads.map(({ bytes }) => bytes)) / GiB),
    memoryBytes: proportional,
    clientBusy: of('clientBusy'),
    goal: name === ours ? work.goal : undefined,
  }
}

function figure(compared: Compared): Figure {
  const { work, server, against, unit, ratios, cpuRatio, goal } = compared
  const rate =
    unit === 'bytes/s' ? spread(compared.rates.map(inGigabytes), 2, ' GB/s') : spread(compared.rates, 0, '/s')
  const cost =
    unit === 'bytes/s'
      ? `${compared.cpuSecondsPerGiB.toFixed(2)} CPU s/GiB`
      : `${compared.cpuMicrosPerRequest.toFixed(1)} CPU µs each`
  const parts = [
    ...(ratios.length === 0 ? [] : [spread(ratios, 2)]),
    rate,
    `p50 ${compared.p50Ms.toFixed(2)} p99 ${compared.p99Ms.toFixed(2)} ms`,
    cpuRatio === undefined ? cost : `${cost} (${cpuRatio.toFixed(2)} × ${against} per CPU s)`,
    `${(compared.memoryBytes / MiB).toFixed(0)} MiB`,
    `client busy ${compared.clientBusy.toFixed(2)}`,
  ]
  const [measured, reached] = [parts.join('; '), ratios.length > 0 && median(ratios) >= (goal ?? 0)]
  return {
    figure: `${work}: ${server}`,
    goal: goal === undefined ? '' : `≥ ${goal} × ${against}`,
    measured,
    reached: goal === undefined || ratios.length === 0 ? undefined : reached,
    compared,
  }
}

function inGigabytes(bytes: number): number {
  return bytes / 1e9
}

/** Who could not be compared, as a line of the table. */
export function absent({ missing }: Stand): Figure[] {
  if (missing.length === 0) return []
  return [{ figure: 'left out', goal: '', measured: missing.join('; '), reached: undefined }]
}
