/** The schema of one entry of `upstreams`. */
import { z } from 'zod'
import { policyOf } from './access/policy-schema.ts'
import { parseCidr, parseHost, parseProxyUrl, parseRegistryUrl } from './address-forms.ts'
import { credentials } from './credentials-schema.ts'
import {
  parseCertificates,
  parsePinPattern,
  parsePrivateKey,
  parseRepositoryPattern,
  parseTagPattern,
} from './name-forms.ts'
import { choice, count, flag, lifetime, list, positiveLifetime, size, text, timer } from './values.ts'

const url = text('URL', parseRegistryUrl)
const repositories = list(text('pattern', parseRepositoryPattern))

const addresses = {
  registry: text('host or host:port', parseHost).meta({
    description: 'The name under which clients ask for it. **Required.** Docker Hub is `docker.io`.',
  }),
  url: url.optional().meta({
    fallback: '`https://` and the registry',
    description:
      'Where it is asked. A path is kept in front of `/v2/`. The default for docker.io is `https://registry-1.docker.io`.',
  }),
  credentials: credentials.optional().meta({
    form: 'keys, or a list of several',
    description:
      'For `url`. They go to its origin and its trusted token hosts, and nowhere else. Of several the next is tried where one is refused, gets a 429 or cannot be had.',
  }),
  urls: list(
    z.strictObject({
      url: url.meta({ description: 'As `url` above. **Required.**' }),
      credentials: credentials
        .optional()
        .meta({ form: 'keys, or a list of several', description: 'As `credentials` above, for this URL.' }),
    }),
  )
    .min(1)
    .optional()
    .meta({
      form: 'list',
      description:
        'Instead of `url` and `credentials`: several, tried in order, each with credentials of its own.',
    }),
  aliases: list(text('host or host:port', parseHost))
    .prefault([])
    .meta({ description: "Further names under which clients may ask for it. Docker Hub's are known." }),
  default: flag.optional().meta({
    fallback: '`true` for docker.io where no other says so',
    description: 'Also serves names that carry no registry. One upstream at most.',
  }),
}

const sharing = {
  access: choice(['public', 'shared', 'passthrough']).optional().meta({
    fallback: '`public` without credentials, `shared` with',
    description:
      'Who may have what was fetched. `public`: everybody, wherever a manifest of this upstream lists it; `shared`: everybody, from the repository it was fetched from; `passthrough`: whom the upstream itself lets, asked with the user and password that the client sends for these names.',
  }),
  allow: repositories.prefault([]).meta({
    description:
      'Repositories that may be asked for, without the registry; empty: all. `*` stays within a component, `**` crosses.',
  }),
  deny: repositories
    .prefault([])
    .meta({ description: 'Repositories that may not be asked for. Wins over `allow`.' }),
  policy: policyOf('the names of this upstream'),
  passthrough: z
    .strictObject({
      verdict: timer({ min: 0 }).prefault('1m').meta({
        description:
          "With `access: passthrough`: how long the upstream's yes to a caller holds for a repository; `0s`: it is asked each time.",
      }),
      outage: lifetime.prefault('10m').meta({
        description: 'How long it holds while the upstream cannot be asked. A refusal ends it at once.',
      }),
    })
    .prefault({}),
  shareWithEveryone: flag.default(false).meta({
    description:
      'An upstream with credentials needs `allow`, or this: everybody who reaches Layover may pull all that its credentials can.',
  }),
}

const freshness = {
  tags: list(
    z.strictObject({
      match: text('pattern', parseTagPattern).meta({ description: 'Pattern of tags. **Required.**' }),
      fresh: lifetime.meta({ description: '`forever`, or `0s` to ask each time. **Required.**' }),
    }),
  )
    .prefault([{ match: '*', fresh: '5m' }])
    .meta({
      form: 'list',
      description:
        'How long a tag is served without asking upstream. The first match wins; a tag that nothing matches is asked each time.',
    }),
  listingsFresh: lifetime
    .prefault('1m')
    .meta({ description: 'The same for lists of tags and of referrers.' }),
  maxStale: lifetime
    .prefault('7d')
    .meta({ description: 'How long after its last check a tag is served while upstream fails.' }),
  onNotFound: z
    .strictObject({
      serveFor: lifetime.prefault('1h').meta({
        description: 'How long a cached tag that upstream no longer has is served on; `0s`: dropped at once.',
      }),
    })
    .prefault({}),
  notFoundFor: lifetime.prefault('10s').meta({ description: "How long upstream's 404 is remembered." }),
  rateLimited: choice(['unavailable', 'propagate']).default('unavailable').meta({
    description:
      'Nothing cached and upstream says 429: `unavailable` answers 503 with `Retry-After`, `propagate` 429.',
  }),
}

const keeping = {
  maxSize: size({ min: 1 }).optional().meta({
    fallback: '`store.maxSize`',
    description: 'How much may be cached of what was first fetched from this upstream.',
  }),
  unused: positiveLifetime.prefault('forever').meta({
    description:
      'How long what was first fetched from this upstream is kept after it was last asked for. Counted from each use, by the configuration of the day.',
  }),
  pin: list(text('pattern', parsePinPattern)).prefault([]).meta({
    description:
      'What is never evicted: repositories without the registry, as in `allow`, and behind a colon a pattern of tags: `library/debian:bookworm*`. Without tags, all that the repository holds. With all that the manifests list, as far as it was fetched.',
  }),
}

const connecting = {
  authRealms: list(text('host or host:port', parseHost)).prefault([]).meta({
    description:
      "Token hosts trusted with our password, besides the registry's own host and port and those of well-known registries.",
  }),
  allowPrivate: list(text('address range', parseCidr)).prefault([]).meta({
    description:
      "Addresses that are not public to which the upstream's token and redirect hosts may resolve. Its own URLs may resolve anywhere.",
  }),
  timeouts: z
    .strictObject({
      connect: timer().prefault('5s').meta({ description: 'For a connection, TLS included.' }),
      headers: timer()
        .prefault('25s')
        .meta({ description: 'For the headers of an answer. containerd gives up after 30 s.' }),
      revalidate: timer()
        .prefault('3s')
        .meta({ description: 'For a whole check of a cached tag; then it is served stale.' }),
      idle: timer()
        .prefault('60s')
        .meta({ description: 'Between two pieces of a body. There is no limit on the whole.' }),
    })
    .prefault({}),
  concurrency: z
    .strictObject({
      fills: count(10_000).default(32).meta({ description: 'Blobs fetched at once; more of them wait.' }),
      bandwidth: size()
        .prefault(0)
        .meta({ description: 'Bytes a second for all fetches together; 0: no limit.' }),
    })
    .prefault({}),
  http2: flag.default(false).meta({
    description: 'Offers HTTP/2. One connection is usually slower for blobs than several of HTTP/1.1.',
  }),
  ca: text('PEM or `file:`', parseCertificates)
    .optional()
    .meta({ description: "Certificates trusted instead of the system's." }),
  cert: text('PEM or `file:`', parseCertificates)
    .optional()
    .meta({ description: "The client certificate, shown to the upstream's own URLs only." }),
  key: text('PEM or `file:`', parsePrivateKey).optional().meta({ description: 'Its private key.' }),
  proxy: text('URL', parseProxyUrl).optional().meta({
    fallback: '`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`',
    description: 'The proxy for this upstream. A user and a password may stand in the URL.',
  }),
}

export const upstream = z.strictObject({ ...addresses, ...sharing, ...freshness, ...keeping, ...connecting })

export type UpstreamEntry = z.output<typeof upstream>
