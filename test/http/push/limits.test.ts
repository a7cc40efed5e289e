/** What an upload may not exceed: bytes of a blob, and sessions open at once. */
import { describe, expect, test, vi } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { bytes, errorsOf, name, type Payload, pushScene } from './scene.ts'

const uploads = `/v2/${name}/blobs/uploads/`
const content = bytes(3_000)
const digest = digestOf(content)

describe('limits.upload', () => {
  const shapes: [string, (body: Buffer) => Payload][] = [
    ['with Content-Length', body => body],
    ['chunked', body => [body.subarray(0, 10), body.subarray(10)]],
  ]

  test.each(shapes)('lets a blob of just its size pass, %s', async (_, payload) => {
    await using at = await pushScene({ limits: { upload: 3_000 } })
    const path = `${uploads}?digest=${digest}`
    expect((await at.ask(path, { method: 'POST', body: payload(content) })).status).toBe(201)
    expect((await at.close(await at.start(), digest, payload(content))).status).toBe(201)
    const location = await at.start()
    expect((await at.patch(location, payload(content))).status).toBe(202)
    expect((await at.close(location, digest)).status).toBe(201)
  })

  test.each(shapes)('refuses more with 413, %s, and takes nothing of it', async (_, payload) => {
    await using at = await pushScene({ limits: { upload: 2_999 } })
    const location = await at.start()
    expect((await at.patch(location, payload(content))).status).toBe(413)
    expect((await at.close(location, digest, payload(content))).status).toBe(413)
    expect(await at.rangeOf(location)).toBe('0-0')
    expect((await at.patch(location, payload(content.subarray(0, 2_500)))).status).toBe(202)
    expect((await at.patch(location, payload(bytes(500)))).status).toBe(413)
    const refused = await at.close(location, digest, payload(bytes(500)))
    expect(refused.status).toBe(413)
    expect(errorsOf(refused)[0]?.message).toContain('2999 bytes (limits.upload)')
    expect(await at.rangeOf(location)).toBe('0-2499')
    const smaller = content.subarray(0, 2_999)
    expect((await at.close(location, digestOf(smaller), payload(smaller.subarray(2_500)))).status).toBe(201)
  })
})

describe('limits.upload of a blob in one request', () => {
  test.each([
    [2_999, 3_000],
    [1_200_000, 1_200_001],
  ])('of %i bytes refuses %i with 413, and keeps nothing', async (upload, size) => {
    await using at = await pushScene({ limits: { upload } })
    const body = bytes(size)
    for (const payload of [body, [body.subarray(0, 10), body.subarray(10)]]) {
      const path = `${uploads}?digest=${digestOf(body)}`
      expect((await at.ask(path, { method: 'POST', body: payload })).status).toBe(413)
    }
    expect(await at.sessions()).toEqual([])
    expect((await at.ask(`/v2/${name}/blobs/${digestOf(body)}`, { method: 'HEAD' })).status).toBe(404)
  })
})

describe('limits.uploads', () => {
  test('refuses one session too many with 429 and Retry-After, until one ends in whatever way', async () => {
    await using at = await pushScene({ limits: { uploads: 2 } })
    const open = [await at.start(), await at.start()]
    const ends = [
      (location: string) => at.ask(location, { method: 'DELETE' }),
      (location: string) => at.close(location, digest, content),
      (location: string) => at.close(location, digest, bytes(10)),
    ]
    for (const end of ends) {
      const refused = await at.ask(uploads, { method: 'POST' })
      expect(at.failure(refused)).toEqual([429, 'TOOMANYREQUESTS'])
      await end(open.pop() ?? '')
      open.push(await at.start())
    }
    expect((await at.ask(uploads, { method: 'POST' })).status).toBe(429)
  })

  test('counts the sessions of before a restart', async () => {
    await using at = await pushScene({ limits: { uploads: 2 } })
    await at.start()
    await at.start()
    await at.layover.restart()
    await vi.waitFor(async () => expect((await at.ask(uploads, { method: 'POST' })).status).toBe(429), {
      timeout: 10_000,
      interval: 5,
    })
  })

  test('counts right while expired sessions are looked for', async () => {
    await using at = await pushScene({ limits: { uploads: 50 } })
    for (let round = 0; round < 4; round += 1) {
      await at.clock.untilSleeping()
      const starting = Promise.all(Array.from({ length: 10 }, () => at.start()))
      at.clock.advance(3_600_000)
      await starting
    }
    await at.clock.untilSleeping()
    const answers = await Promise.all(Array.from({ length: 20 }, () => at.ask(uploads, { method: 'POST' })))
    expect(answers.filter(({ status }) => status === 202)).toHaveLength(10)
  })

  test('does not stand in the way of who mounts, pushes in one request, or goes on', async () => {
    await using at = await pushScene({ limits: { uploads: 1 } })
    const location = await at.start()
    await at.push(content)
    expect((await at.ask(`${uploads}?mount=${digest}`, { method: 'POST' })).status).toBe(201)
    expect((await at.close(location, digestOf(content), content)).status).toBe(201)
  })
})
