/** What replicas tell each other, nobody else hears. */
import { describe, expect, test } from 'vitest'
import { Signatures, signatureHeader } from '../../../src/cluster/peers/signature.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { seededBlob } from '../../fake/bytes.ts'
import { artifactOf } from '../../fake/content.ts'
import { download, expectWhole } from '../../fault/download.ts'
import { ask, errorOf, scene } from '../scene.ts'
import { acquainted, secret, startReplicas } from './scene.ts'

const blob = seededBlob('behind the door', 300_000)
const path = `/_replica/blobs/${blob.digest}?from=0&scope=`

async function kept() {
  const at = await startReplicas({ count: 1 })
  at.net.plain.put('team/app', 'v1', artifactOf([blob]))
  const { url } = at.at(0)
  expectWhole(await download(`${url}/v2/team/app/blobs/${blob.digest}`), blob)
  const sign = (given = secret) =>
    new Signatures({ secret: given, advertise: 'http://127.0.0.1:1', clock: systemClock })
  const signed = (signature: string, method = 'GET') =>
    ask(url, path, { method, headers: { [signatureHeader]: signature } })
  return { at, url, sign, signed }
}

const request = { method: 'GET', path, speaksFor: '' }

test('replicas may speak TLS with each other', async () => {
  await using at = await startReplicas({ count: 2, tls: true })
  at.net.plain.put('team/app', 'v1', artifactOf([blob]))
  await acquainted(at)
  for (const { url } of at.all) {
    const { status, body } = await ask(url, `/v2/team/app/blobs/${blob.digest}`)
    expect([status, body.length]).toEqual([200, blob.size])
  }
  expect(at.gets(blob)).toBe(1)
})

test('one that has no Redis says that it is alone', async () => {
  const replica = { advertise: 'http://127.0.0.1:1', secret, ca: undefined, owner: undefined }
  await using at = await scene({ replica })
  expect(at.layover.lines).toContainEqual(
    expect.objectContaining({ level: 'warn', msg: expect.stringContaining('a cache of its own') }),
  )
})

describe('a request for what replicas give each other', () => {
  test('is answered once, when it is signed', async () => {
    const { at, url, sign, signed } = await kept()
    await using _ = at
    const signature = sign().sign(url, request)
    const answer = await signed(signature)
    expect([answer.status, answer.body.length]).toEqual([200, blob.size])
    const again = await signed(signature)
    expect([again.status, errorOf(again).code]).toEqual([403, 'DENIED'])
  })

  test('is refused without a signature, with one of another secret, and for another request', async () => {
    const { at, url, sign, signed } = await kept()
    await using _ = at
    for (const answer of [
      await ask(url, path),
      await ask(url, '/_replica/nothing'),
      await signed('v1 1 2 3'),
      await signed(sign('another secret of sixteen').sign(url, request)),
      await signed(sign().sign('http://127.0.0.1:2', request)),
      await signed(sign().sign(url, { ...request, path: '/_replica/manifests' })),
      await signed(sign().sign(url, { ...request, method: 'POST' }), 'POST'),
    ])
      expect([answer.status, errorOf(answer).code]).toEqual([403, 'DENIED'])
  })

  test('for the whole of a blob that is on its way is refused: its bytes may come from who asks', async () => {
    const { at, url, sign } = await kept()
    await using _ = at
    const other = seededBlob('on its way', 300_000)
    at.net.plain.put('team/app', 'v2', artifactOf([other]))
    const fault = at.net.fault({ kind: 'stall', at: 1000, path: /blobs/, times: 1 })
    const reader = download(`${url}/v2/team/app/blobs/${other.digest}`)
    await fault.reached
    const whole = `/_replica/blobs/${other.digest}?from=0&scope=&whole=1`
    const signature = sign().sign(url, { method: 'GET', path: whole, speaksFor: '' })
    expect((await ask(url, whole, { headers: { [signatureHeader]: signature } })).status).toBe(404)
    fault.release()
    expectWhole(await reader, other)
  })

  test('a replica with another secret is one of its own: it asks upstream, and says what is wrong', async () => {
    await using at = await startReplicas({
      count: 2,
      secretOf: place => (place === 0 ? secret : 'not what the others have'),
    })
    at.net.plain.put('team/app', 'v1', artifactOf([blob]))
    await acquainted(at)
    const fault = at.net.fault({ kind: 'stall', at: 1000, path: /blobs/, times: 1 })
    const urls = at.all.map(({ url }) => `${url}/v2/team/app/blobs/${blob.digest}`)
    const first = download(urls[0] ?? '')
    await fault.reached
    expectWhole(await download(urls[1] ?? ''), blob)
    fault.release()
    expectWhole(await first, blob)
    expect(at.at(1).layover.lines.map(({ msg }) => msg)).toContain('another replica does not answer us')
  })
})
