/** Addresses of objects that clients read for themselves: what they say, and for how long. */
import { S3Client } from '@aws-sdk/client-s3'
import { describe, expect, test } from 'vitest'
import { Links } from '../../../src/store/s3/links.ts'
import type { LinkOptions } from '../../../src/store/s3/options.ts'
import { plainRequests } from '../../../src/store/s3/requests.ts'
import { FakeClock } from '../../fake/clock.ts'

const minuteMs = 60_000
const key = 'pushed/sha256/ab/abcd'

interface Setting extends Partial<LinkOptions> {
  /** Milliseconds from now; undefined: the credentials do not expire. */
  expiresMs?: number
  endpoint?: string
  pathStyle?: boolean
}

async function link({ expiresMs, endpoint, validMs = 15 * minuteMs, pathStyle = false }: Setting = {}) {
  const clock = new FakeClock()
  const credentials = {
    accessKeyId: 'key',
    secretAccessKey: 'secret',
    ...(expiresMs === undefined
      ? {}
      : { sessionToken: 'session', expiration: new Date(clock.now() + expiresMs) }),
  }
  const client = new S3Client({
    ...plainRequests,
    region: 'eu-central-1',
    forcePathStyle: pathStyle,
    credentials: async () => credentials,
  })
  const requests = {
    client,
    at: (name: string) => ({ Bucket: 'images', Key: `layover/${name}` }),
    small: <T>(_: string, __: AbortSignal | undefined, task: (signal: AbortSignal) => Promise<T>) =>
      task(new AbortController().signal),
  }
  const url = await new Links(requests, { endpoint, validMs }, clock).to(key)
  return url === undefined ? undefined : new URL(url)
}

describe('the address of an object', () => {
  test('names the bucket as requests do, and holds as long as it was said to', async () => {
    const url = await link()
    expect([url?.origin, url?.pathname]).toEqual([
      'https://images.s3.eu-central-1.amazonaws.com',
      `/layover/${key}`,
    ])
    expect(Object.fromEntries(url?.searchParams ?? [])).toMatchObject({
      'X-Amz-Expires': '900',
      'X-Amz-SignedHeaders': 'host',
    })
    expect(url?.search).not.toMatch(/checksum/i)
  })

  test('is where clients reach the service', async () => {
    const endpoint = 'https://s3.corp.test:9000'
    expect((await link({ endpoint }))?.search).not.toMatch(/checksum/i)
    expect(await link({ endpoint })).toMatchObject({
      origin: 'https://images.s3.corp.test:9000',
      pathname: `/layover/${key}`,
    })
    expect(await link({ endpoint, pathStyle: true })).toMatchObject({
      origin: endpoint,
      pathname: `/images/layover/${key}`,
    })
  })

  test('holds no longer than the credentials, and is not given when that is too short', async () => {
    const url = await link({ expiresMs: 5 * minuteMs })
    expect(url?.searchParams.get('X-Amz-Expires')).toBe('300')
    expect(
      (await link({ expiresMs: 5 * minuteMs, validMs: minuteMs }))?.searchParams.get('X-Amz-Expires'),
    ).toBe('60')
    expect(await link({ expiresMs: minuteMs - 1 })).toBeUndefined()
  })
})
