/** Registries that point at each other must not wait for each other. */
import { expect, test } from 'vitest'
import { seededBlob } from '../fake/bytes.ts'
import { FakeClock } from '../fake/clock.ts'
import { startTestLayover, upstream } from '../support/layover.ts'

const lookup = () => Promise.resolve([{ address: '127.0.0.1', family: 4 as const }])
const noUpstream = upstream({ registry: 'a.test', url: 'http://127.0.0.1:1', isDefault: true })

async function circle() {
  const clock = new FakeClock()
  const first = await startTestLayover({ clock, lookup, upstreams: [noUpstream] })
  const toFirst = upstream({ registry: 'a.test', url: first.url, isDefault: true })
  const second = await startTestLayover({ clock, lookup, upstreams: [toFirst] })
  const toSecond = upstream({ registry: 'a.test', url: second.url, isDefault: true })
  await first.reload({ ...first.config, upstreams: [toSecond] })
  return {
    url: first.url,
    async [Symbol.asyncDispose]() {
      await second[Symbol.asyncDispose]()
      await first[Symbol.asyncDispose]()
    },
  }
}

const { digest } = seededBlob('nowhere', 10)

test.each([
  `manifests/latest`,
  `manifests/${digest}`,
  `blobs/${digest}`,
  'tags/list',
  `referrers/${digest}`,
])('two registries that are each other’s upstream answer 508 to %s', async path => {
  await using at = await circle()
  const answer = await fetch(`${at.url}/v2/team/app/${path}`)
  expect(answer.status).toBe(508)
  expect(await answer.json()).toMatchObject({ errors: [{ code: 'LOOP' }] })
})
