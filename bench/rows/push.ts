/** One GiB in one PUT, side by side with distribution; and how long the last byte waits for its 201. */

import { execFileSync } from 'node:child_process'
import { closeSync, fdatasyncSync, openSync, unlinkSync, writeSync } from 'node:fs'
import { Content, GiB, MiB } from '../content.ts'
import { type Figure, median, spread } from '../figure.ts'
import { nowMs } from '../monotonic.ts'
import type { Site } from '../site.ts'
import { forget, inTurn, push, type Rival, startRivals } from './rivals.ts'

const rounds = 7
/** A compiler warms up, folders come into being: not counted. */
const warmUps = 1
const probeBytes = 64 * MiB
/** What a 201 may take beyond the syncs that it has to wait for. */
const slackMs = 50

export function pushOneCore(site: Site): Promise<Figure[]> {
  return pushGiB(site, { oneCore: true, goal: 1 })
}

export function pushTwoCores(site: Site): Promise<Figure[]> {
  return pushGiB(site, { oneCore: false, goal: 1.25 })
}

async function pushGiB(site: Site, { oneCore, goal }: { oneCore: boolean; goal: number }): Promise<Figure[]> {
  await using rivals = await startRivals(site, { oneCore })
  const measured = []
  for (let round = 0; round < warmUps + site.rounds(rounds); round += 1) {
    const probeMs = syncProbe(site.newPath())
    const spec = { seed: round, size: GiB }
    const both = await inTurn(rivals, round, rival => onePush(site, rival, spec))
    if (round >= warmUps) measured.push({ ...both, probeMs })
  }
  const ours = measured.map(round => round.ours)
  const probes = measured.map(({ probeMs }) => probeMs)
  const theirs = measured.flatMap(round => round.theirs ?? [])
  const ratios = measured.flatMap(round => (round.theirs ? round.theirs.seconds / round.ours.seconds : []))
  const tails = ours.map(({ tailMs }) => tailMs)
  const limitMs = 2 * median(probes) + slackMs
  return [
    {
      figure: `1 GiB in one PUT, speed / ${rivals.comparedWith}`,
      goal: `≥ ${goal.toFixed(2)}`,
      measured: compared(ratios, speeds(ours), speeds(theirs)),
      reached: ratios.length === 0 ? undefined : median(ratios) >= goal,
    },
    {
      figure: '  CPU of the server, Layover and the other',
      goal: 'reported',
      measured: `${spread(cpuOf(ours), 2)} and ${spread(cpuOf(theirs), 2)} s/GiB; client busy ${spread(busyOf(ours), 2)} and ${spread(busyOf(theirs), 2)}`,
      reached: undefined,
    },
    {
      figure: '  last byte to 201',
      goal: `≤ 2 × fdatasync of 64 MiB + ${slackMs} ms`,
      measured: `${spread(tails, 0, ' ms')}; allowed ${limitMs.toFixed(0)} ms, fdatasync ${spread(probes, 0, ' ms')}; the other ${spread(
        theirs.map(({ tailMs }) => tailMs),
        0,
        ' ms',
      )}`,
      reached: median(tails) <= limitMs,
    },
  ]
}

async function onePush(site: Site, rival: Rival, spec: { seed: number; size: number }) {
  const before = await rival.server.cpuSeconds()
  const { pushes, seconds, busy } = await push(site, rival, { specs: [spec], clients: 1, way: 'session' })
  const after = await rival.server.cpuSeconds()
  await forget(rival, new Content(spec).sha256)
  const [{ sentMs, endedMs } = { sentMs: Number.NaN, endedMs: Number.NaN }] = pushes
  const cpu = after.user + after.system - before.user - before.system
  return { seconds, busy, cpu, tailMs: endedMs - sentMs }
}

/** What the disk takes for 64 MiB that the kernel holds already. */
function syncProbe(path: string): number {
  execFileSync('sync')
  const file = openSync(path, 'wx')
  const content = new Content({ seed: 0, size: probeBytes })
  for (let position = 0; position < probeBytes; position += MiB) writeSync(file, content.at(position, MiB))
  const startedMs = nowMs()
  fdatasyncSync(file)
  const tookMs = nowMs() - startedMs
  closeSync(file)
  unlinkSync(path)
  return tookMs
}

type Measured = Awaited<ReturnType<typeof onePush>>

function speeds(pushes: readonly Measured[]): number[] {
  return pushes.map(({ seconds }) => GiB / 1e9 / seconds)
}

function cpuOf(pushes: readonly Measured[]): number[] {
  return pushes.map(({ cpu }) => cpu)
}

function busyOf(pushes: readonly Measured[]): number[] {
  return pushes.map(({ busy }) => busy)
}

function compared(ratios: readonly number[], ours: readonly number[], theirs: readonly number[]): string {
  if (ratios.length === 0) return spread(ours, 2, ' GB/s')
  return `${spread(ratios, 2)}; ${spread(ours, 2, ' GB/s')} against ${spread(theirs, 2, ' GB/s')}`
}
