/** A longer push, traced, and what its store looks like after a power cut at some point of it. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import { systemLookup } from '../../src/runtime/lookup.ts'
import { FakeClock } from '../fake/clock.ts'
import { startTestLayover } from '../support/layover.ts'
import { tempDir } from '../support/temp-dir.ts'
import { type Loss, PowerCutDisk } from './power-cut-disk.ts'
import { LayoverProcess } from './process.ts'
import { auditPushed, checkNames } from './push/crash-check.ts'
import type { Site } from './push/crash-client.ts'
import type { Name, Step } from './push/crash-ledger.ts'
import { Pusher } from './push/crash-pusher.ts'
import { forked, newSite, startProxied } from './push/crash-rounds.ts'
import { send } from './push/crash-send.ts'
import { answerTo, readTrace, straceCommand, type TraceEvent } from './strace.ts'

const losses: readonly Loss[] = ['everything', 'content', 'chance']

export interface Traced {
  readonly site: Site
  readonly events: readonly TraceEvent[]
  /** Where in the events the answer to a connection begins, by the client's port. */
  readonly answers: ReadonlyMap<number, number>
  /** Of the traced program. */
  readonly storePath: string
}

/** Clients that push at once, as many actions each, to a program that is traced from its first start to its end. */
export async function tracedPushes(clients: number, actions: number, random: () => number): Promise<Traced> {
  await using dir = await tempDir()
  await using proxied = await startProxied()
  const log = dir.join('trace')
  const site = newSite(proxied.blobs)
  const runner = straceCommand(log)
  await using layover = await LayoverProcess.start({ home: dir.path, upstreamUrl: proxied.url, runner })
  const pushers = Array.from(
    { length: clients },
    (_, number) => new Pusher({ site, name: `client${number}`, random: forked(random), maxBytes: 16 * 1024 }),
  )
  await Promise.all(pushers.map(pusher => pusher.run(layover.url, actions)))
  await layover.stop()
  const events = await readTrace(log)
  return { site, events, answers: answersIn(events), storePath: dir.join('data') }
}

/** Cuts the power at so many points, most of them right when an answer begins, and looks at what starts from the rest. */
export async function powerCuts(traced: Traced, count: number, random: () => number): Promise<void> {
  const { events, answers, storePath } = traced
  const begun = [...answers.values()]
  const points = Array.from({ length: count }, (_, number) => {
    const some = begun[Math.floor(random() * begun.length)] ?? 0
    return number % 3 === 2 ? Math.floor(random() * events.length) : some
  }).sort((a, b) => a - b)
  const disk = new PowerCutDisk(storePath)
  let at = 0
  for (const [number, point] of points.entries()) {
    for (; at < point; at += 1) disk.play(events[at] as TraceEvent)
    const loss = losses[number % losses.length] ?? 'chance'
    await using dir = await tempDir()
    await disk.cut(dir.join('data'), loss, random)
    await checkAfter(dir.join('data'), traced, { point, loss })
  }
}

async function checkAfter(store: string, traced: Traced, cut: { point: number; loss: Loss }): Promise<void> {
  const { answers } = traced
  const site = { ...traced.site, halfDone: new Set<Name>() }
  const isAnswered = ({ port }: Step) => (answers.get(port ?? 0) ?? Number.POSITIVE_INFINITY) <= cut.point
  const clock = new FakeClock(Date.now())
  await using layover = await startTestLayover({
    clock,
    lookup: systemLookup,
    upstreams: [],
    store: { path: store },
  })
  try {
    await checkNames({ site, names: site.ledger.names(), url: layover.url, isAnswered })
    for (const id of await readdir(join(store, 'uploads'))) {
      const found = await Promise.all(
        site.repositories.map(repository =>
          send(`${layover.url}/v2/${repository}/blobs/uploads/${id}`, { method: 'DELETE' }),
        ),
      )
      for (const { status, body } of found) expect([204, 404], body.toString()).toContain(status)
    }
    await auditPushed(store)
  } catch (error) {
    throw new Error(`after a power cut at event ${cut.point} that lost ${cut.loss}`, { cause: error })
  }
}

function answersIn(events: readonly TraceEvent[]): Map<number, number> {
  const found = new Map<number, number>()
  for (const [at, { phase, call }] of events.entries()) {
    const answer = phase === 'begun' ? answerTo(call) : undefined
    if (answer && answer.status < 300 && !found.has(answer.port)) found.set(answer.port, at)
  }
  return found
}
