/** Images and repositories: what is here of them, dropped, asked about anew. */
import { z } from 'zod'
import { copiesOf } from '../copies.ts'
import type { AdminDeps } from '../deps.ts'
import { drop } from '../drop.ts'
import { AdminError } from '../failure.ts'
import { cachedOf, imageName, parseImage } from '../image.ts'
import { outcomes, refresh } from '../refresh.ts'
import { type Route, route, time } from '../route.ts'

const maxPage = 10_000
const digest = z.string().describe('A digest.')
const bytes = z.int().min(0)

const name = imageName
const content = z.object({
  digest,
  mediaType: z.string(),
  size: bytes.describe('As the manifest lists it.'),
  isHeld: z.boolean().describe('The repository is known to have it.'),
  storedSize: bytes.nullable().describe('Of the bytes that are here; null: they are not.'),
})

const manifest = z.object({
  digest,
  mediaType: z.string(),
  size: bytes,
  storedSize: bytes.nullable(),
  artifactType: z.string().nullable(),
  subject: digest.nullable(),
  arrivedAt: time,
  pulledAt: time.nullable().describe('To the hour.'),
  manifests: z.array(content).describe('Of an index: what it lists.'),
  blobs: z.array(content).describe('The config and the layers.'),
})

const tag = z.object({
  name: z.string(),
  digest,
  mediaType: z.string(),
  size: bytes.nullable(),
  movedAt: time.describe('When it came to point there.'),
  checkedAt: time.optional().describe('Of an upstream: when that confirmed it last.'),
  missingSince: time.nullable().optional().describe('Since when upstream says that it is no more.'),
  isFresh: z.boolean().optional().describe('It is answered without asking upstream.'),
  freshUntil: time.nullable().optional().describe('null: for ever.'),
})

const copies = z
  .array(
    z.object({
      source: z.enum(['push', 'upstream']).describe('Whether it was pushed here, or an upstream gave it.'),
      registry: z.string(),
      repository: z.string(),
      tag: tag.optional(),
      manifest: manifest.optional(),
      tags: z.array(z.string()).optional().describe('Of a repository: a page of its tags.'),
    }),
  )
  .min(1)
  .describe('In the order in which a pull looks: an overlay may have two.')

const refreshed = z.object({
  tag: z.string(),
  outcome: z
    .enum(outcomes)
    .describe(
      '`fetched`: it was not here. `missing`: upstream has it no longer, and it is served on for `onNotFound.serveFor`; `dropped`: that time is over. `failed`: upstream did not answer, and nothing changed.',
    ),
  digest: digest.nullable().describe('Where it points now.'),
  was: digest.nullable().describe('Where it pointed before.'),
  failure: z.string().nullable(),
})

const unknown = { 400: 'It is no name.', 404: 'Nothing of it is here, or the name belongs nowhere.' }
const pushed = { 409: 'It was pushed here: only a client can delete it.' }

export function imageRoutes(deps: AdminDeps): readonly Route[] {
  return [inspectRoute(deps), dropRoute(deps), refreshRoute(deps)]
}

function inspectRoute(deps: AdminDeps): Route {
  return route({
    method: 'GET',
    path: '/images',
    operationId: 'inspectImage',
    summary: 'What is here of an image or a repository. Asks no upstream.',
    query: z.strictObject({
      name,
      n: z.coerce.number().int().min(1).max(maxPage).default(100).describe('Tags of one page.'),
      last: z.string().optional().describe('The tag that the page begins after.'),
    }),
    answer: z.object({ name: z.string(), copies }),
    failures: unknown,
    async handle({ query: { name: asked, n: limit, last } }) {
      const { resolved, reference } = parseImage(asked, deps.resolver())
      const found = await copiesOf(deps, resolved, { reference, page: { last, limit } })
      if (found.length === 0) throw nothingOf(asked)
      return { name: asked, copies: found }
    },
  })
}

function dropRoute(deps: AdminDeps): Route {
  return route({
    method: 'DELETE',
    path: '/images',
    operationId: 'dropImage',
    summary:
      'Drops the cached copy: of a tag where it points, of a digest that the repository has it, of a repository everything. The next pull asks upstream.',
    query: z.strictObject({ name }),
    answer: z
      .object({ name: z.string(), tags: bytes, manifests: bytes, blobs: bytes })
      .describe('What went.'),
    failures: { ...unknown, ...pushed },
    async handle({ query: { name: asked } }) {
      const image = parseImage(asked, deps.resolver())
      const target = cachedOf(image, 'delete it as a client does, e.g. with `crane delete`')
      const dropped = await drop(deps, target, image.reference)
      if (Object.values(dropped).every(count => count === 0)) throw nothingOf(asked)
      return { name: asked, ...dropped }
    },
  })
}

function refreshRoute(deps: AdminDeps): Route {
  return route({
    method: 'POST',
    path: '/images/refresh',
    operationId: 'refreshImage',
    summary: 'Asks upstream now where a tag points, or every cached tag of a repository, however fresh.',
    body: z.strictObject({ name }),
    answer: z.object({ name: z.string(), tags: z.array(refreshed) }),
    failures: {
      ...unknown,
      ...pushed,
      503: 'Upstream did not answer: nothing changed.',
      504: 'The same, by time-out.',
    },
    async handle({ body: { name: asked } }) {
      const image = parseImage(asked, deps.resolver())
      const target = cachedOf(image, 'there is no upstream to ask about it')
      const tags = await refresh(deps, target, image.reference)
      if (tags.length === 0) throw nothingOf(asked)
      return { name: asked, tags }
    },
  })
}

function nothingOf(name: string): AdminError {
  return new AdminError('NOT_FOUND', `nothing of ${name} is here`)
}
