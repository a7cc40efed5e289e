import { expect, test } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import {
  clientFor,
  failureOf,
  indexType,
  manifestDigest,
  optionsFor,
  repository,
  type Scripted,
  serve,
} from './support.ts'

const at = ({ port }: Scripted) => `http://registry.hub.test:${port}`
const signature = {
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest: digestOf(Buffer.from('signature')),
  size: 9,
  artifactType: 'application/vnd.example.signature',
}
const index = (...manifests: object[]) =>
  JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests })
const fallback = `/v2/library/alpine/manifests/${manifestDigest.replace(':', '-')}`

test('tags come a page at a time, with the query of the next one', async () => {
  await using registry = await serve((request, response) => {
    if (request.url?.includes('last=b')) return response.end('{"name":"x","tags":null}')
    response.setHeader('link', '</v2/library/alpine/tags/list?n=2&last=b>; rel="next"')
    return response.end('{"name":"x","tags":["a","b"],"child":[]}')
  })
  await using client = clientFor(optionsFor(at(registry)))
  const page = await client.upstream.listTags(repository, { n: '2' })
  expect(page).toEqual({ tags: ['a', 'b'], next: { n: '2', last: 'b' } })
  expect(await client.upstream.listTags(repository, page.next ?? {})).toEqual({ tags: [], next: undefined })
  expect(registry.lines()).toEqual([
    'GET /v2/library/alpine/tags/list?n=2',
    'GET /v2/library/alpine/tags/list?n=2&last=b',
  ])
})

test('a link that turns pages by a mark of its own is followed by the last tag', async () => {
  await using registry = await serve((_, response) => {
    response.setHeader('link', '</v2/library/alpine/tags/list?n=2&next_page=opaque>; rel="next"')
    response.end('{"tags":["a","b"]}')
  })
  await using client = clientFor(optionsFor(at(registry)))
  expect((await client.upstream.listTags(repository, {})).next).toEqual({ n: '2', last: 'b' })
})

test('a list of tags that is none is corrupt', async () => {
  await using registry = await serve((_, response) => response.end('<html>'))
  await using client = clientFor(optionsFor(at(registry)))
  expect((await failureOf(client.upstream.listTags(repository, {}))).failure).toBe('corrupt')
})

test('referrers are read from every page of the API', async () => {
  await using registry = await serve((request, response) => {
    response.setHeader('content-type', indexType)
    if (!request.url?.includes('page=2')) response.setHeader('link', '<?page=2>; rel="next"')
    response.end(index(signature))
  })
  await using client = clientFor(optionsFor(at(registry)))
  expect(await client.upstream.listReferrers(repository, manifestDigest)).toEqual([signature, signature])
})

test.each([
  ['404', (_: unknown, r: import('node:http').ServerResponse) => r.writeHead(404).end()],
  [
    '401, as a registry without the route may say',
    (_: unknown, r: import('node:http').ServerResponse) => r.writeHead(401).end(),
  ],
  [
    'a redirect to a website',
    (_: unknown, r: import('node:http').ServerResponse) =>
      r.writeHead(303, { location: 'http://github.test:1/' }).end(),
  ],
  [
    'another type',
    (_: unknown, r: import('node:http').ServerResponse) =>
      r.writeHead(200, { 'content-type': 'text/html' }).end('<html>'),
  ],
])('where the API answers with %s, the fallback tag is read', async (_what, api) => {
  await using registry = await serve((request, response) => {
    if (request.url !== fallback) return api(request, response)
    return response.writeHead(200, { 'content-type': indexType }).end(index(signature))
  })
  await using client = clientFor(optionsFor(at(registry)))
  expect(await client.upstream.listReferrers(repository, manifestDigest)).toEqual([signature])
})

test('neither API nor tag means that there are no referrers', async () => {
  await using registry = await serve((_, response) => response.writeHead(404).end())
  await using client = clientFor(optionsFor(at(registry)))
  expect(await client.upstream.listReferrers(repository, manifestDigest)).toEqual([])
  expect(registry.lines()).toContain(`GET ${fallback}`)
})

test('a fallback tag of a sha512 subject keeps to the length of a tag', async () => {
  await using registry = await serve((_, response) => response.writeHead(404).end())
  await using client = clientFor(optionsFor(at(registry)))
  const subject = digestOf(Buffer.from('x'), 'sha512')
  await client.upstream.listReferrers(repository, subject)
  expect(registry.asked.at(-1)?.url).toBe(`/v2/library/alpine/manifests/sha512-${subject.slice(7, 71)}`)
})

test.each([500, 503, 429])('an outage (%i) is no empty list: it must not hide signatures', async status => {
  await using registry = await serve((_, response) => response.writeHead(status).end())
  await using client = clientFor(optionsFor(at(registry)))
  expect((await failureOf(client.upstream.listReferrers(repository, manifestDigest))).absent).toBe(false)
})

test('a list without end is refused', async () => {
  await using registry = await serve((_, response) => {
    response
      .writeHead(200, { 'content-type': indexType, link: '<?page=again>; rel="next"' })
      .end(index(signature))
  })
  await using client = clientFor(optionsFor(at(registry)))
  expect((await failureOf(client.upstream.listReferrers(repository, manifestDigest))).failure).toBe(
    'too-large',
  )
  expect(registry.asked).toHaveLength(100)
})
