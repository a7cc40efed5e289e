/** Replicas that share a bucket elect who owns the local names: whatever becomes of the owner, clients see one registry. */
import { describe, expect, test, vi } from 'vitest'
import { startInternet } from '../fake/internet.ts'
import { History, unexplained } from '../support/linearizable.ts'
import { runClients } from '../support/register-clients.ts'
import { Replicas } from '../support/replicas.ts'
import { hasS3, startS3 } from '../support/s3.ts'
import { tempDir } from '../support/temp-dir.ts'
import { send } from './push-crash-send.ts'

const repository = 'local/app'

async function start(count = 3) {
  const stack = new AsyncDisposableStack()
  const dir = stack.use(await tempDir())
  const net = await startInternet()
  stack.defer(() => net.close())
  const s3 = stack.use(await startS3())
  const upstreamUrl = net.url('plain.test').replace('plain.test', '127.0.0.1')
  const replicas = stack.use(await Replicas.start({ root: dir.path, count, upstreamUrl, s3 }))
  const at = {
    replicas,
    /** Place of the owner, once there is one. */
    owner: () =>
      vi.waitFor(
        async () => {
          const answers = await Promise.all(
            replicas.all.map(({ url }) =>
              send(`${url}/v2/${repository}/manifests/none`).catch(() => undefined),
            ),
          )
          expect(answers.some(answer => answer?.status === 404)).toBe(true)
          const since = replicas.all.map(replica => lastTerm(replica.lines()))
          const place = since.indexOf(since.toSorted().at(-1) ?? '')
          expect(since[place]).not.toBe('')
          return place
        },
        { timeout: 30_000, interval: 100 },
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

describe.skipIf(!hasS3)('replicas that share a bucket (needs versitygw)', () => {
  test('follow an owner that is killed, stopped or put to sleep; what clients see could have happened on one machine', async () => {
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
    await more(100)
    const killed = replicas.at(await at.owner())
    await killed.kill()
    await more(60)
    const asleep = replicas.at(await at.owner())
    expect(asleep).not.toBe(killed)
    asleep.sleep()
    const started = killed.start()
    await vi.waitFor(async () => expect(replicas.at(await at.owner())).not.toBe(asleep), { timeout: 60_000 })
    asleep.wake()
    await started
    await more(60)
    const stopped = replicas.at(await at.owner())
    await stopped.stop()
    await more(60)
    ending.abort()
    await running
    expect(unexplained(history.operations)).toBeUndefined()
  }, 180_000)
})
