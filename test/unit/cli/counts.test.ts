/** Counts of server processes, added up by their primary over the messages they have. */
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { expect, onTestFinished, test } from 'vitest'
import { countsOfAll, countsOver } from '../../../src/cli/workers/counts.ts'
import { Link } from '../../../src/cli/workers/link.ts'
import { note } from '../../../src/cli/workers/note.ts'
import type { Report } from '../../../src/cli/workers/orders.ts'
import { FakeClock } from '../../fake/clock.ts'

const lifeMs = 60_000

function portOf(port: MessagePort) {
  onTestFinished(() => port.close())
  return {
    post: (message: unknown) => port.postMessage(message),
    onMessage: (take: (message: unknown) => void) => void port.on('message', take),
  }
}

test('servers count together over their primary, and a count ends with its time', async () => {
  const clock = new FakeClock()
  const counts = countsOfAll({ redis: undefined, clock })
  const server = () => {
    const { port1, port2 } = new MessageChannel()
    const primary = new Link(portOf(port1), report => note(report as Report, { counts } as never))
    const link = new Link(portOf(port2), () => undefined)
    return { primary, link, counts: countsOver(() => link) }
  }
  const [one, two] = [server(), server()]
  expect(await one.counts.exchange(new Map([['a', 2]]), lifeMs)).toEqual(new Map([['a', 2]]))
  expect(await two.counts.exchange(new Map([['a', 1]]), lifeMs)).toEqual(new Map([['a', 3]]))
  expect(await two.counts.exchange(new Map([['a', 0]]), lifeMs)).toEqual(new Map([['a', 3]]))
  clock.advance(lifeMs)
  expect(await one.counts.exchange(new Map([['a', 1]]), lifeMs)).toEqual(new Map([['a', 1]]))
  two.link.close(new Error('gone'))
  await expect(two.counts.exchange(new Map([['a', 1]]), lifeMs)).rejects.toThrow('gone')
})
