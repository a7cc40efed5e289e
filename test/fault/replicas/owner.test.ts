/** Replicas that share a bucket elect who owns the local names: whatever becomes of the owner, clients see one registry. */
import { describe, expect, test, vi } from 'vitest'
import { startInternet } from '../../fake/internet.ts'
import { History, unexplained } from '../../support/linearizable.ts'
import { runClients } from '../../support/register-clients.ts'
import { type Replica, Replicas } from '../../support/replicas.ts'
import { hasS3, startS3 } from '../../support/s3.ts'
import { tempDir } from '../../support/temp-dir.ts'

const repository = 'local/app'

async function start() {
  const stack = new AsyncDisposableStack()
  const dir = stack.use(await tempDir())
  const net = await startInternet()
  stack.defer(() => net.close())
  const s3 = stack.use(await startS3())
  const upstreamUrl = net.url('plain.test').replace('plain.test', '127.0.0.1')
  const replicas = stack.use(await Replicas.start({ root: dir.path, upstreamUrl, s3 }))
  const at = {
    replicas,
    /** Place of the one that took the local names on last, other than that one. */
    owner: (but = -1) =>
      vi.waitFor(
        () => {
          const since = replicas.all.map(replica => lastTerm(replica.lines()))
          const place = since.indexOf(since.toSorted().at(-1) ?? '')
          expect(since[place]).not.toBe('')
          expect(place).not.toBe(but)
          return place
        },
        { timeout: 40_000, interval: 50 },
      ),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
  return at
}

/** When it last began to own the local names; empty: never. */
function lastTerm(lines: readonly string[]): string {
  const line = lines.findLast(text => text.includes('this replica owns the local names'))
  return line === undefined ? '' : (JSON.parse(line) as { time: string }).time
}

/** Resolves with its path. */
async function begunUpload({ url }: Replica): Promise<string> {
  const begun = await fetch(`${url}/v2/${repository}/blobs/uploads/`, { method: 'POST' })
  const path = begun.headers.get('location') ?? ''
  const sent = await fetch(`${url}${path}`, { method: 'PATCH', body: 'bytes' })
  expect([sent.status, sent.headers.get('range')]).toEqual([202, '0-4'])
  return path
}

async function goneOn({ url }: Replica, path: string): Promise<[status: number, said: string]> {
  const asked = await fetch(`${url}${path}`, { method: 'PATCH', body: 'more' })
  return [asked.status, await asked.text()]
}

describe.skipIf(!hasS3)('replicas that share a bucket (needs versitygw)', () => {
  test('follow an owner that is killed, stopped or put to sleep: its uploads are begun anew, and what clients see could have happened on one machine', async () => {
    await using at = await start()
    const { replicas } = at
    await at.owner()
    const history = new History()
    const ending = new AbortController()
    const running = runClients({
      urls: replicas.urls,
      repository,
      tag: 'moving',
      history,
      signal: ending.signal,
      count: 6,
      seed: 3,
    })
    const more = async (count: number) => {
      const before = history.operations.length
      await vi.waitFor(() => expect(history.operations.length).toBeGreaterThan(before + count), {
        timeout: 60_000,
        interval: 50,
      })
    }
    await more(60)
    const killed = await at.owner()
    const upload = await begunUpload(replicas.at(killed))
    await replicas.at(killed).kill()
    const asleep = await at.owner(killed)
    expect(await goneOn(replicas.at(asleep), upload)).toEqual([
      404,
      expect.stringContaining('BLOB_UPLOAD_UNKNOWN'),
    ])
    await more(60)
    replicas.at(asleep).sleep()
    await replicas.at(killed).start()
    const stopped = await at.owner(asleep)
    replicas.at(asleep).wake()
    await more(60)
    await replicas.at(stopped).stop()
    await at.owner(stopped)
    await more(60)
    ending.abort()
    await running
    expect(unexplained(history.operations)).toBeUndefined()
  }, 150_000)
})
