/** Replicas that share a Redis by mistake are told so, and go on. */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, vi } from 'vitest'
import { testWith } from '../../e2e/tools.ts'
import type { Replica } from '../../support/replicas.ts'
import { download, expectWhole } from '../download.ts'
import { repository } from '../scene.ts'
import { backends, startReplicas } from './scene.ts'

interface Configuration {
  store: { s3?: { prefix?: string } }
  replica: { advertise: string; owner?: string }
}

/** Starts it again with an empty store and another configuration. */
async function reconfigured(replica: Replica, change: (configuration: Configuration) => void): Promise<void> {
  await replica.stop()
  await rm(replica.store, { recursive: true })
  const file = join(replica.home, 'upstreams.yaml')
  const configuration = JSON.parse(await readFile(file, 'utf8')) as Configuration
  change(configuration)
  await writeFile(file, JSON.stringify(configuration))
  await replica.start()
}

const warnings = (replica: Replica) =>
  replica.lines().filter(line => /the same `replica\.advertise`|replicas with another store/.test(line))

async function expectPulls(at: Awaited<ReturnType<typeof startReplicas>>): Promise<void> {
  const blob = at.blob('of both', 300_000)
  for (const place of [0, 1])
    expectWhole(await download(at.clients.at(place, `${repository}/blobs/${blob.digest}`)), blob)
}

describe('two replicas', () => {
  testWith(backends, 'with buckets that are not the same are told of each other', async () => {
    await using at = await startReplicas({ count: 2 })
    const both = [at.replicas.at(0), at.replicas.at(1)] as const
    expect(both.flatMap(warnings)).toEqual([])
    await reconfigured(both[1], ({ store }) => Object.assign(store.s3 ?? {}, { prefix: 'other' }))
    await vi.waitFor(
      () => {
        for (const [nth, replica] of both.entries()) {
          const [warning] = warnings(replica)
          expect(warning).toMatch(/store":"the bucket with the id /)
          expect(warning).toContain(`"advertise":"${both[1 - nth]?.advertised}"`)
        }
      },
      { timeout: 30_000 },
    )
    await expectPulls(at)
    for (const replica of both) expect(warnings(replica)).toHaveLength(1)
  })

  testWith(backends, 'with one address are told both', async () => {
    await using at = await startReplicas({ count: 2, shares: 'redis' })
    const both = [at.replicas.at(0), at.replicas.at(1)] as const
    expect(both.flatMap(warnings)).toEqual([])
    const advertise = both[0].advertised
    await reconfigured(both[1], ({ replica }) => Object.assign(replica, { advertise }))
    await vi.waitFor(
      () => {
        for (const replica of both)
          expect(warnings(replica)[0]).toMatch(/another process has the same `replica\.advertise`/)
      },
      { timeout: 30_000 },
    )
    await expectPulls(at)
  })
})
