/** The hosts of the stand-in internet and the habits of each. */
import type { Digest } from '../../src/oci/digest.ts'
import { type Answer, html, json, type Request, ranged, redirect } from './answer.ts'
import { BasicAuth, Directory } from './auth.ts'
import { BearerAuth, type BearerOptions } from './bearer.ts'
import { type BlobPool, Cdn } from './cdn.ts'
import { RateLimit } from './rate-limit.ts'
import { type Habits, Registry } from './registry.ts'

export const hostNames = [
  'registry.hub.test',
  'auth.hub.test',
  'cdn-a.test',
  'cdn-b.test',
  'ghcr.test',
  'web.ghcr.test',
  'quay.test',
  'k8s.test',
  'gar.test',
  'ecrpub.test',
  'ecr.test',
  'nvcr.test',
  'authn.nvcr.test',
  'acr.test',
  'plain.test',
  'evil.test',
  'tls.test',
  'mtls.test',
  'expired.test',
] as const

export type HostName = (typeof hostNames)[number]

export interface World {
  url: (host: HostName) => string
  now: () => number
  secret: string
  pool: BlobPool
}

const prefix = 'k8s-artifacts-prod/images/'

/** Every registry and CDN, and the handler of each host. */
export function buildHosts(world: World) {
  const cdn = new Cdn(world.pool, world.now, world.secret)
  const gar = artifactRegistry(world)
  const registries = {
    hub: hub(world, cdn),
    ghcr: ghcr(world, cdn),
    quay: quay(world, cdn),
    k8s: k8s(world, cdn, gar),
    gar,
    ecrPublic: ecrPublic(world, cdn),
    ecr: privateEcr(world, cdn),
    nvcr: nvcr(world),
    acr: acr(world, cdn),
    plain: new Registry(world.pool, world.url('plain.test')),
  }
  /** What ACR gives for a token of Entra; a test brings the cloud that knows these. */
  const exchange: { answer: (request: Request) => Answer | undefined } = { answer: () => undefined }
  const at = (registry: Registry) => (request: Request) => registry.handle(request)
  const { hub: dockerHub, ghcr: github, quay: redHat, k8s: kubernetes } = registries
  const handlers: Record<HostName, (request: Request) => Answer> = {
    'registry.hub.test': at(dockerHub),
    'auth.hub.test': request => dockerHub.habits.auth?.issue(request) ?? html(404, 'Not found'),
    'cdn-a.test': request => cdn.handle(request),
    'cdn-b.test': request => cdn.handle(request),
    'ghcr.test': at(github),
    'web.ghcr.test': () => html(429, 'Whoa there!'),
    'quay.test': at(redHat),
    'k8s.test': at(kubernetes),
    'gar.test': request => artifactDownload(world, request) ?? gar.handle(request),
    'ecrpub.test': at(registries.ecrPublic),
    'ecr.test': at(registries.ecr),
    'nvcr.test': at(registries.nvcr),
    'authn.nvcr.test': () => json(401, { error: 'invalid_client' }),
    'acr.test': request => exchange.answer(request) ?? registries.acr.handle(request),
    'plain.test': at(registries.plain),
    'tls.test': at(registries.plain),
    'mtls.test': at(registries.plain),
    'expired.test': at(registries.plain),
    // Whoever asks here has been lured: it grants anything, so that only the request log can tell.
    'evil.test': () => json(200, { token: 'stolen', access_token: 'stolen', expires_in: 300 }),
  }
  return { ...registries, cdn, handlers, exchange }
}

type Shape = Partial<BearerOptions> & { realm: string; service: string | undefined }

function withBearer(world: World, host: HostName, shape: Shape, habits: Partial<Habits>): Registry {
  const directory = new Directory()
  const realm = new URL(shape.realm)
  const auth = new BearerAuth(shape, {
    directory,
    endpoint: { host: realm.hostname, path: realm.pathname },
    now: world.now,
    secret: world.secret,
  })
  return new Registry(world.pool, world.url(host), { ...habits, auth }, directory)
}

/** Blobs behind signed URLs, at each of the hosts in turn. */
function signed(world: World, cdn: Cdn, hosts: readonly HostName[], status = 307) {
  let asked = 0
  return ({ method }: Request, digest: Digest): Answer => {
    const host = hosts[asked++ % hosts.length] ?? 'cdn-a.test'
    return redirect(status, world.url(host) + cdn.sign(method, digest))
  }
}

function hub(world: World, cdn: Cdn): Registry {
  const shape: Shape = { realm: `${world.url('auth.hub.test')}/token`, service: 'registry.hub.test' }
  return withBearer(world, 'registry.hub.test', shape, {
    unknown: 401,
    blobRedirect: signed(world, cdn, ['cdn-a.test', 'cdn-b.test']),
    referrers: 'none',
    rateLimit: new RateLimit(world.now),
  })
}

function ghcr(world: World, cdn: Cdn): Registry {
  const shape: Shape = {
    realm: `${world.url('ghcr.test')}/token`,
    service: 'ghcr.test',
    scope: 'placeholder',
    expiresIn: undefined,
    fields: 'token',
  }
  return withBearer(world, 'ghcr.test', shape, {
    unknown: 403,
    // Signed for GET whatever the method was: a HEAD that follows gets 403.
    blobRedirect: (_request, digest) => redirect(307, world.url('cdn-a.test') + cdn.sign('GET', digest)),
    referrers: ({ path }) => redirect(303, `${world.url('web.ghcr.test')}/-/v2/packages${path}`),
    tagPage: 100,
  })
}

function quay(world: World, cdn: Cdn): Registry {
  const shape: Shape = {
    realm: `${world.url('quay.test')}/v2/auth`,
    service: 'quay.test',
    lifeMs: 3_600_000,
    expiresIn: undefined,
    fields: 'token',
    wantsScope: true,
  }
  return withBearer(world, 'quay.test', shape, {
    unknown: 401,
    blobRedirect: ({ method }, digest) =>
      redirect(302, world.url('cdn-b.test') + cdn.sign(method, digest), {
        'docker-content-digest': digest,
        'accept-ranges': 'bytes',
      }),
    referrersPage: 2,
    tagPage: 100,
    tagLinks: 'absolute',
  })
}

/** No challenge at all; everything but blobs is elsewhere, and the query is lost on the way. */
function k8s(world: World, cdn: Cdn, gar: Registry): Registry {
  const registry = new Registry(world.pool, world.url('k8s.test'), {
    elsewhere: ({ path }) =>
      redirect(307, `${world.url('gar.test')}/v2/${prefix}${path.slice('/v2/'.length)}`),
    blobRedirect: (_request, digest) => redirect(307, world.url('cdn-a.test') + cdn.open(digest)),
  })
  registry.backend = { registry: gar, prefix }
  return registry
}

/** Public repositories need no token; blobs are behind a long path on the same host. */
function artifactRegistry(world: World): Registry {
  const shape: Shape = {
    realm: `${world.url('gar.test')}/v2/token`,
    service: 'gar.test',
    lifeMs: 3_600_000,
    open: true,
  }
  return withBearer(world, 'gar.test', shape, {
    unknown: 403,
    blobRedirect: (_request, digest) =>
      redirect(
        302,
        `/artifacts-downloads/namespaces/p/repositories/r/downloads/${'A'.repeat(1_000)}/${digest}`,
      ),
  })
}

function artifactDownload({ pool }: World, request: Request): Answer | undefined {
  const digest = /^\/artifacts-downloads\/.+\/(sha\d+:[0-9a-f]+)$/.exec(request.path)?.[1]
  const blob = digest === undefined ? undefined : pool.get(digest as Digest)
  return blob && ranged(request, blob.content, { 'content-type': 'application/octet-stream' })
}

function ecrPublic(world: World, cdn: Cdn): Registry {
  const shape: Shape = {
    realm: `${world.url('ecrpub.test')}/token/`,
    service: 'ecrpub.test',
    scope: 'aws',
    lifeMs: 3_600_000,
    format: 'ecr-public',
    fields: 'token',
    expiresIn: undefined,
    whenInvalid: () =>
      json(400, { errors: [{ code: 'DENIED', message: 'Your Authorization Token is invalid.' }] }),
  }
  return withBearer(world, 'ecrpub.test', shape, {
    headBlob: 401,
    blobRedirect: signed(world, cdn, ['cdn-b.test']),
  })
}

function privateEcr(world: World, cdn: Cdn): Registry {
  const directory = new Directory()
  const challenge = `Basic realm="${world.url('ecr.test')}/",service="ecr.amazonaws.com"`
  return new Registry(
    world.pool,
    world.url('ecr.test'),
    {
      auth: new BasicAuth(directory, challenge, world.now),
      digestOnGet: false,
      blobRedirect: signed(world, cdn, ['cdn-a.test']),
      referrersPage: 50,
    },
    directory,
  )
}

/** A token that is no longer good is answered with a realm that refuses anonymous callers. */
function nvcr(world: World): Registry {
  const realm = `${world.url('nvcr.test')}/proxy_auth`
  const shape: Shape = {
    realm,
    service: undefined,
    challenges: repository => [
      `Bearer realm="${realm}"${repository === undefined ? '' : `,scope=repository:${repository}:pull`}`,
    ],
    whenInvalid: () =>
      json(
        401,
        { errors: [{ code: 'UNAUTHORIZED', message: 'token expired' }] },
        {
          'www-authenticate': `Bearer realm="${world.url('authn.nvcr.test')}/token",service="registry",error="invalid_token"`,
        },
      ),
  }
  return withBearer(world, 'nvcr.test', shape, {})
}

function acr(world: World, cdn: Cdn): Registry {
  const shape: Shape = {
    realm: `${world.url('acr.test')}/oauth2/token`,
    service: 'acr.test',
    lifeMs: 75 * 60_000,
    format: 'jwt',
    fields: 'access_token',
    expiresIn: undefined,
    post: 400,
  }
  return withBearer(world, 'acr.test', shape, { blobRedirect: signed(world, cdn, ['cdn-b.test']) })
}
