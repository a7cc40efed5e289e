/** Referrers may carry 4 MiB of annotations each: how many of them one request has in hand. */
import { expect, test } from 'vitest'
import type { Call } from '../../../../src/edge/reads/call.ts'
import { answerReferrers } from '../../../../src/edge/reads/referrers.ts'
import { type Digest, digestOf } from '../../../../src/oci/digest.ts'
import type { Descriptor } from '../../../../src/oci/manifest.ts'

const mib = 2 ** 20

/** A repository with so many referrers of a mebibyte each, made when they are read. */
function repositoryOf(count: number) {
  const digests = Array.from({ length: count }, (_, at) => digestOf(Buffer.from(String(at)))).sort()
  const read: number[] = []
  const referrers = async (_local: unknown, _subject: unknown, page: { last?: Digest; limit: number }) => {
    const found = digests.filter(digest => digest > (page.last ?? '')).slice(0, page.limit)
    read.push(found.length)
    return found.map(descriptor)
  }
  const call = (query: string) =>
    ({
      exchange: { query: new URLSearchParams(query), facts: {} },
      resolved: { local: {} },
      pull: { local: { referrers } },
      address: '/v2/local/app',
      pageLimit: 10_000,
    }) as unknown as Call
  return { call, read }
}

function descriptor(digest: Digest): Descriptor {
  return { mediaType: 'a/b', digest, size: 1, artifactType: 'a/b', annotations: { padding: 'x'.repeat(mib) } }
}

test.each([
  '',
  'artifactType=x/y',
])('a page (%s) is put together from few of them at a time, and not from all', async query => {
  const { call, read } = repositoryOf(200)
  const { headers } = await answerReferrers(call(query), digestOf(Buffer.from('subject')))
  expect(headers.link).toContain('rel="next"')
  expect(Math.max(...read)).toBeLessThanOrEqual(32)
  expect(read.reduce((sum, length) => sum + length)).toBeLessThanOrEqual(96)
})

test('who follows the links of a filter comes to the end', async () => {
  const { call } = repositoryOf(200)
  let query: string | undefined = 'artifactType=x/y'
  for (let pages = 0; query !== undefined; pages += 1) {
    expect(pages).toBeLessThan(5)
    const { headers } = await answerReferrers(call(query), digestOf(Buffer.from('subject')))
    query = /\?([^>]*)>/.exec(headers.link ?? '')?.[1]
  }
})
