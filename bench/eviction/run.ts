/**
 * Eviction policies on synthetic traces: `node bench/eviction/run.ts [--seeds 3] [--shape name] [policy…]`.
 * Prints byte and object hit ratios over LRU's, means of the seeds, and the least of the byte ratios.
 */
import { parseArgs } from 'node:util'
import { type Contender, mean, ratiosOf, relative } from './compare.ts'
import { belady } from './policies/belady.ts'
import { layover } from './policies/layover.ts'
import { gdsf, gdsfMild, lfuDa, lru, lru2 } from './policies/ranked.ts'
import { arc, s3Fifo, sieve, slru, twoQueues, wTinyLfu } from './policies/segmented.ts'
import { shapes } from './shapes.ts'
import type { Ratios } from './simulate.ts'
import type { Trace } from './trace.ts'

/** Shares of all bytes that are ever asked for. */
const caps = [0.05, 0.1, 0.25, 0.5]
const contenders: Readonly<Record<string, Contender>> = {
  LRU: { makePolicy: lru },
  'LRU, manifest uses all': { makePolicy: lru, useOf: 'all' },
  'LRU-2': { makePolicy: lru2 },
  SLRU: { makePolicy: slru },
  '2Q': { makePolicy: twoQueues },
  ARC: { makePolicy: arc },
  'LFU-DA': { makePolicy: lfuDa },
  GDSF: { makePolicy: gdsf },
  'GDSF, size^0.2': { makePolicy: gdsfMild },
  SIEVE: { makePolicy: sieve },
  'S3-FIFO': { makePolicy: s3Fifo },
  'W-TinyLFU': { makePolicy: wTinyLfu },
  Layover: { makePolicy: layover, useOf: 'all' },
  'Layover, asked only': { makePolicy: layover },
  'Layover, uses lost once': { makePolicy: layover, useOf: 'all', loses: true },
  Belady: { makePolicy: belady },
}

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { seeds: { type: 'string', default: '3' }, shape: { type: 'string', multiple: true } },
})
const seeds = Array.from({ length: Number(options.seeds) }, (_, at) => at + 1)

for (const shape of options.shape ?? Object.keys(shapes)) {
  const makeTrace = shapes[shape]
  if (makeTrace) print(shape, seeds.map(makeTrace))
  else throw new Error(`no such shape: ${shape}; there are ${Object.keys(shapes).join(', ')}`)
}

function print(shape: string, traces: readonly Trace[]): void {
  const [first] = traces
  if (!first) return
  const base = caps.map(cap => ratiosOf(traces, cap, { makePolicy: lru }))
  console.log(`\n### ${shape}: ${describe(first)}\n`)
  console.log(
    `| policy | ${caps.map(cap => `${cap * 100} %`).join(' | ')} |\n|---|${'---|'.repeat(caps.length)}`,
  )
  for (const [name, contender] of Object.entries(contenders)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue
    const row = caps.map((cap, at) => cell(ratiosOf(traces, cap, contender), base[at] ?? [], name === 'LRU'))
    console.log(`| ${name} | ${row.join(' | ')} |`)
  }
}

/** Byte and object hit ratios: LRU's own, of others over those. */
function cell(ratios: readonly Ratios[], base: readonly Ratios[], isBase: boolean): string {
  if (isBase)
    return `${shown(ratios.map(({ bytes }) => bytes))} · ${shown(ratios.map(({ objects }) => objects))}`
  const bytes = relative(ratios, base, 'bytes')
  return `${shown(bytes)} (${Math.min(...bytes).toFixed(3)}) · ${shown(relative(ratios, base, 'objects'))}`
}

function shown(values: readonly number[]): string {
  return mean(values).toFixed(3)
}

function describe({ pulls, requests, footprintBytes }: Trace): string {
  return `${pulls.length} pulls, ${requests} requests, ${(footprintBytes / 1e9).toFixed(0)} GB in all (seed 1)`
}
