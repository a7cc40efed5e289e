/** Replicas in one process, each with a store and an address of its own, and a client that asks whichever it likes. */
import type { Config } from '../../../src/config/config.ts'
import { digestOf } from '../../../src/oci/digest.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import type { StoredManifest } from '../../fake/content.ts'
import { freePort } from '../../support/free-port.ts'
import { startTestLayover, type TestLayover } from '../../support/layover.ts'
import { NetworkLink } from '../../support/network-link.ts'
import { type Sending, send } from '../push/scene.ts'
import type { Answered } from '../scene.ts'

type Setting = Partial<Omit<Parameters<typeof startTestLayover>[0], 'clock' | 'lookup' | 'replica'>> & {
  /** Of each replica. */
  readonly each?: (nth: number, ports: readonly number[]) => Partial<ReplicaSetting>
}

type ReplicaSetting = NonNullable<Config['replica']>

export const secret = 'replicas-know-each-other-by-it'
export const name = 'local/team/app'
const noLookup = () => Promise.reject(new Error('no upstream is asked'))

export type Replicas = Awaited<ReturnType<typeof startReplicas>>

/** The first owns the local names, unless `each` says otherwise. */
export async function startReplicas(count: number, { each, ...setting }: Setting = {}) {
  const ports: number[] = []
  while (ports.length < count) ports.push(await freePort())
  const toOwner = await NetworkLink.start(ports[0] ?? 0)
  const start = (nth: number): Promise<TestLayover> =>
    startTestLayover({
      upstreams: [],
      ...setting,
      listen: [{ host: '127.0.0.1', port: ports[nth] ?? 0, role: 'registry', tls: undefined }],
      replica: {
        advertise: addressOf(nth === 0 ? toOwner.port : ports[nth]),
        secret,
        ca: undefined,
        owner: addressOf(toOwner.port),
        ...each?.(nth, ports),
      },
      clock: systemClock,
      lookup: noLookup,
    })
  const all: TestLayover[] = []
  for (let nth = 0; nth < count; nth += 1) all.push(await start(nth))
  const at = {
    all,
    ports,
    /** The way of the others to the owner. */
    toOwner,
    url: (nth: number) => addressOf(ports[nth]),
    ask: (nth: number, path: string, sending?: Sending) => send(at.url(nth), path, sending),
    push: (nth: number, body: Buffer, repository = name) =>
      at.ask(nth, `/v2/${repository}/blobs/uploads/?digest=${digestOf(body)}`, { method: 'POST', body }),
    put: (nth: number, manifest: StoredManifest, reference: string, repository = name) =>
      at.ask(nth, `/v2/${repository}/manifests/${reference}`, {
        method: 'PUT',
        headers: { 'content-type': manifest.mediaType },
        body: manifest.body,
      }),
    /** What the tag points at; the answer where it points at nothing. */
    async tag(nth: number, tag: string, repository = name): Promise<string | number> {
      const answer: Answered = await at.ask(nth, `/v2/${repository}/manifests/${tag}`)
      return answer.status === 200 ? digestOf(answer.body) : answer.status
    },
    /** Lines of its log that say so. */
    told: (nth: number, msg: string) => all[nth]?.lines.filter(line => line.msg === msg) ?? [],
    async [Symbol.asyncDispose]() {
      for (const one of all.toReversed()) await one[Symbol.asyncDispose]()
      await toOwner[Symbol.asyncDispose]()
    },
  }
  return at
}

function addressOf(port: number | undefined): string {
  return `http://127.0.0.1:${port}`
}
