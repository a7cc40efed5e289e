/** Three replicas under load while one thing after the other goes wrong, at random: clients that try again get what is right, and nothing acknowledged is lost. */
import { setTimeout as pause } from 'node:timers/promises'
import { expect, vi } from 'vitest'
import { digestOf } from '../../src/oci/digest.ts'
import { testWith } from '../e2e/tools.ts'
import { readContent, seededBlob } from '../fake/bytes.ts'
import { artifactOf, type Bundle } from '../fake/content.ts'
import { seededRandom } from '../fault/crashes.ts'
import { Load, patiently, wrongWith } from '../fault/replicas/load.ts'
import { backends, type Scene, startReplicas } from '../fault/replicas/scene.ts'
import { troubles } from '../fault/replicas/troubles.ts'
import { repository } from '../fault/scene.ts'

const seed = Number(process.env.LAYOVER_SEED ?? Date.now() % 2 ** 31)
const rounds = Number(process.env.LAYOVER_ROUNDS ?? 30)
const local = 'local/team/app'
/** Each has one client that moves it, so that the last acknowledged move is what it names. */
const tags = ['one', 'two', 'three']
const pullers = 4
const troubleMs = { least: 200, most: 6_000 }
const restMs = 1_000
const starting = { timeout: 60_000, interval: 500 }

function bundleOf(name: string): Bundle {
  return artifactOf([seededBlob(name, 300_000), seededBlob(`${name}, small`, 2_000)])
}

testWith(
  backends,
  `${rounds} troubles (LAYOVER_SEED=${seed}): right bytes for who tries again, and no acknowledged push is lost`,
  async () => {
    await using at = await startReplicas()
    const random = seededRandom(seed)
    const last = new Map<string, string>()
    const pulls = new Load(pullers, turn => told(pullNew(at, Math.floor(turn / 3))))
    const pushes = tags.map(tag => new Load(1, turn => told(moveTag(at, { tag, turn, last }))))
    for (let round = 0; round < rounds; round += 1) {
      const trouble = troubles[Math.floor(random() * troubles.length)]
      await trouble?.begin(at)
      await pause(troubleMs.least + random() * (troubleMs.most - troubleMs.least))
      await trouble?.end(at)
      await pause(restMs)
      const failures = [pulls, ...pushes].flatMap(load => load.failures)
      expect(failures, `after ${trouble?.name}, round ${round}`).toEqual([])
    }
    for (const load of [pulls, ...pushes]) expect(await load.stop()).toEqual([])
    console.log({ pulls: pulls.asked, pushes: pushes.map(({ asked }) => asked) })
    await vi.waitFor(async () => {
      for (const [tag, digest] of last)
        for (const place of at.replicas.all.keys())
          expect(await wrongWith(at.clients.at(place, `${local}/manifests/${tag}`), digest)).toBe(undefined)
    }, starting)
  },
)

/** Each image by a few clients, at whichever replica. */
async function pullNew(at: Scene, image: number): Promise<void> {
  const bundle = bundleOf(`image ${image}`)
  at.put(`v${image}`, bundle)
  const pull = (path: string, digest: string) =>
    patiently(
      () => at.clients.url(`${repository}/${path}`),
      {},
      ({ status, body }) => status === 200 && digestOf(body) === digest,
    )
  await pull(`manifests/v${image}`, bundle.digest)
  for (const { digest } of bundle.blobs) await pull(`blobs/${digest}`, digest)
}

interface Moving {
  readonly tag: string
  readonly turn: number
  /** What each tag was last moved to. */
  readonly last: Map<string, string>
}

/** And reads it at once where it may be old: at all of them. */
async function moveTag(at: Scene, { tag, turn, last }: Moving): Promise<void> {
  const { root, blobs } = bundleOf(`${tag} ${turn % 20}`)
  const url = (path: string) => () => at.clients.url(`${local}/${path}`)
  for (const { digest, content } of blobs)
    await patiently(
      url(`blobs/uploads/?digest=${digest}`),
      { method: 'POST', body: readContent(content) },
      ({ status }) => status === 201,
    )
  const headers = { 'content-type': root.mediaType }
  await patiently(
    url(`manifests/${tag}`),
    { method: 'PUT', headers, body: root.body },
    ({ status }) => status === 201,
  )
  last.set(tag, root.digest)
  await patiently(url(`manifests/${tag}`), {}, ({ status, body }) => {
    if (status !== 200) return false
    if (digestOf(body) !== root.digest) throw new Error(`${tag} is an old one: ${digestOf(body)}`)
    return true
  })
}

function told(work: Promise<void>): Promise<string | undefined> {
  return work.then(
    () => undefined,
    (error: unknown) => String(error),
  )
}
