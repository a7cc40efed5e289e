/** Tags on replicas that answer from memory: always what the owner says. */
import { describe, expect, test, vi } from 'vitest'
import { seededBlob } from '../../fake/bytes.ts'
import { artifactOf, type StoredManifest } from '../../fake/content.ts'
import { History, unexplained } from '../../support/linearizable.ts'
import { runClients } from '../../support/register-clients.ts'
import { workersOfSuite } from '../../support/servers.ts'
import { name, type Replicas, startReplicas } from './scene.ts'

const manifestOf = (value: string) => artifactOf([seededBlob(value, 100)]).root
const patience = { timeout: 20_000 }

/** Has the replica answer the tag so often that it keeps it, and holds the way to the owner then. */
async function heldWhenKept(at: Replicas, manifest: StoredManifest): Promise<void> {
  await vi.waitFor(async () => {
    await at.toOwner.pass()
    for (let times = 0; times < 3; times += 1) expect(await at.tag(1, 'v1')).toBe(manifest.digest)
    at.toOwner.stall()
    const both = [at.tag(1, 'v1'), at.tag(1, 'other')]
    expect(await Promise.race([...both, at.tag(0, 'none')])).toBe(manifest.digest)
  }, patience)
}

describe('a replica that does not own a name', () => {
  test('answers what is new from the moment the push is answered', async () => {
    await using at = await startReplicas(3)
    const [first, second] = [manifestOf('one'), manifestOf('two')]
    for (let round = 0; round < 30; round += 1) {
      const next = round % 2 === 0 ? second : first
      expect((await at.put(round % 3, next, 'v1')).status).toBe(201)
      const seen = await Promise.all([0, 1, 2, 1, 2].map(nth => at.tag(nth, 'v1')))
      expect(new Set(seen)).toEqual(new Set([next.digest]))
    }
    expect((await at.ask(2, `/v2/${name}/manifests/v1`, { method: 'DELETE' })).status).toBe(202)
    expect(await Promise.all([0, 1, 2].map(nth => at.tag(nth, 'v1')))).toEqual([404, 404, 404])
  })

  // With server processes a replica that is not the owner keeps nothing of local names in memory.
  test.skipIf(workersOfSuite > 1)(
    'answers from memory while it has the lease, and nothing more when that has ended',
    async () => {
      await using at = await startReplicas(2)
      const [first, second] = [manifestOf('one'), manifestOf('two')]
      await at.put(0, first, 'v1')
      await at.put(0, first, 'other')
      await at.tag(1, 'other')
      await heldWhenKept(at, first)
      // The owner cannot tell anybody: it waits for the end of the lease, and answers then.
      expect((await at.put(0, second, 'v1')).status).toBe(201)
      const late = at.tag(1, 'v1')
      expect(await Promise.race([late, at.tag(0, 'v1')])).toBe(second.digest)
      await at.toOwner.pass()
      expect(await late).toBe(second.digest)
    },
  )

  test('asks its owner so often that the log of each day does not tell of it', async () => {
    await using at = await startReplicas(2)
    const asked = () => at.all[0]?.lines.filter(({ path }) => path === '/_replica/leases') ?? []
    await vi.waitFor(() => expect(asked()).not.toEqual([]), patience)
    expect(new Set(asked().map(({ level }) => level))).toEqual(new Set(['debug']))
  })
})

describe('what clients see of a tag', () => {
  test('could have happened on one machine, whatever becomes of the owner and the way to it', async () => {
    await using at = await startReplicas(3)
    const history = new History()
    const ending = new AbortController()
    const running = runClients({
      urls: [0, 1, 2].map(nth => at.url(nth)),
      repository: name,
      tag: 'moving',
      history,
      signal: ending.signal,
      count: 6,
      seed: 1,
    })
    const more = async (count: number) => {
      const before = history.operations.length
      await vi.waitFor(() => expect(history.operations.length).toBeGreaterThan(before + count), patience)
    }
    await more(80)
    at.toOwner.cut()
    await more(80)
    at.toOwner.stall()
    expect((await at.put(0, manifestOf('beside'), 'beside')).status).toBe(201) // leases have ended meanwhile
    await at.toOwner.pass()
    await more(80)
    await at.all[0]?.restart()
    await more(80)
    await at.all[1]?.restart()
    await at.toOwner.refuse()
    await more(4)
    await at.toOwner.pass()
    await more(80)
    ending.abort()
    expect(await running).toBeGreaterThan(250)
    expect(unexplained(history.operations)).toBeUndefined()
  }, 120_000)
})
