/** The schema of `upstreams.yaml`, whole: what is not built yet is refused and not ignored. */
import { z } from 'zod'
import { access } from './access/access-schema.ts'
import { policyOf } from './access/policy-schema.ts'
import {
  FormInvalid,
  parseAdminListen,
  parseCidr,
  parseHost,
  parseListen,
  parsePublicUrl,
  parseReplicaUrl,
} from './address-forms.ts'
import type { DiskShare } from './config.ts'
import { index } from './index-schema.ts'
import { listener } from './listener-schema.ts'
import {
  parseCertificates,
  parseLocalPattern,
  parseNamespaceName,
  parseReplicaSecret,
  parseTagPattern,
} from './name-forms.ts'
import { parseSize } from './quantity.ts'
import { quota } from './quota-schema.ts'
import { s3 } from './s3-schema.ts'
import { upstream } from './upstream-schema.ts'
import { amount, choice, count, flag, lifetime, list, positiveLifetime, size, text, timer } from './values.ts'

const oneOrMore = <T extends z.ZodType>(item: T) =>
  z.preprocess(value => (Array.isArray(value) ? value : [value]), z.array(item).min(1))

const store = z.strictObject({
  path: z.string().min(1).default('./data').meta({
    form: 'path',
    description: "The folder for everything that is kept. Relative to the configuration file's folder.",
  }),
  maxSize: size({ min: 1 }).optional().meta({
    fallback: 'what the disk takes',
    description:
      'How much may be cached, bytes on their way included. What has gone unused longest is evicted before more is fetched (small things later); what was pushed never is. A blob that is larger, or has no room because of what is pinned, is passed through.',
  }),
  minFree: amount('size or percentage', parseShare).optional().meta({
    fallback: '`5%`, at most `10GiB`',
    description:
      'How much of the disk stays free of cached content. Where others fill the disk beyond that, what is cached makes room for them.',
  }),
  collectEvery: timer({ min: 0 }).prefault('1d').meta({
    description:
      'How often what nothing needs of pushed content is collected, while everything goes on; 0: never. Looked at once an hour.',
  }),
  grace: positiveLifetime.prefault('1d').meta({
    description:
      'How long a pushed blob that no manifest of its repository lists is kept after its push, its mount or the last HEAD that found it, and bytes that no repository holds. Longer than any push takes.',
  }),
  scrubEvery: lifetime.prefault('30d').meta({
    description:
      'How often everything in the store is read and checked against its digest, while everything goes on; 0: never. One that a stop cut off goes on after the next start.',
  }),
  scrubRate: size().prefault('32MiB').meta({
    description: 'So many bytes a second at most are read for that; 0: no limit.',
  }),
  s3: s3.optional().meta({
    form: 'keys',
    description:
      'A bucket of AWS or of a compatible service that replicas share. It is where what was pushed is kept; the disk becomes its cache.',
  }),
})

const replica = z.strictObject({
  advertise: text('URL', parseReplicaUrl).meta({
    description: 'Where other replicas reach this one, at a registry address. **Required.**',
  }),
  secret: text('text or `file:`', parseReplicaSecret).meta({
    description:
      'What replicas know each other by: the same for all of them, at least 16 characters. It never travels. **Required.**',
  }),
  ca: text('PEM or `file:`', parseCertificates).optional().meta({
    fallback: 'what Node trusts',
    description: 'Certificates that vouch for the replicas where `advertise` is https.',
  }),
  owner: text('URL', parseReplicaUrl).optional().meta({
    description:
      'The `advertise` of the replica that owns the local namespaces, where the replicas share no store.',
  }),
})

const limits = z.strictObject({
  manifest: size({ min: 1, max: 2 ** 30 })
    .prefault('4MiB')
    .meta({ description: 'The largest manifest, pulled or pushed; larger ones are refused, not buffered.' }),
  connections: count(1_000_000)
    .default(10_000)
    .meta({ description: 'Open connections of clients, per address listened on, of each server process.' }),
  connectionsPerClient: z.int().min(0).max(1_000_000).meta({ form: 'number' }).default(0).meta({
    description:
      "How many of them one client's address may have; more are closed at once. 0: as many as there may be in all, since an office behind one NAT address is one client, and so is a proxy in front.",
  }),
  drain: timer({ min: 0 }).prefault('25s').meta({
    description:
      "How long transfers may go on after SIGTERM. Kubernetes' grace period, 30 s as it comes, must be longer.",
  }),
  partial: lifetime
    .prefault('1d')
    .meta({ description: 'How long the bytes of an unfinished fetch are kept to be continued.' }),
  stalled: timer({ min: 1 }).prefault('2m').meta({
    description:
      'How long a client may take no bytes of an answer, or send none of a push, before it is cut off.',
  }),
  slowest: size().prefault('256B').meta({
    description:
      'So many bytes a second the body of a push has to bring, over each `limits.stalled`; a slower client is cut off. 0: one byte in that time is enough.',
  }),
  headers: timer({ min: 1 }).prefault('65s').meta({
    description:
      'How long the headers of a request may take to arrive, and the first byte of a new connection, before it is closed.',
  }),
  pushMemory: size({ min: 2 ** 20 })
    .prefault('64MiB')
    .meta({
      description:
        'Manifests and blobs of up to 1 MiB that are being pushed are held in so much memory, or in that of one manifest of `limits.manifest`. Where there is no room left a manifest is answered 429, and a blob goes through the disk.',
    }),
  upload: size({ min: 1 })
    .prefault('100GiB')
    .meta({ description: 'The largest blob that may be pushed; a larger one is answered 413.' }),
  uploadIdle: positiveLifetime.prefault('1d').meta({
    description:
      'How long an upload that gets no more bytes is kept to be continued, also over a restart; then what it brought is deleted, within an hour.',
  }),
  uploads: count(1_000_000).default(10_000).meta({
    description:
      'Uploads open at once; above it new ones are answered 429, so that abandoned ones cannot pile up.',
  }),
  memory: size({ min: 2 ** 20 })
    .prefault('64MiB')
    .meta({
      description:
        'Answers are kept in so much memory, of each server process: one half for manifests and blobs of up to 64 KiB, the other for larger manifests, and for blobs of up to 2 MiB that are asked for twice within a minute. Takes effect at the next start.',
    }),
  page: count(100_000).default(10_000).meta({
    description:
      'The most entries of one page of a listing (tags, referrers, catalog), whatever a client asks for; it follows `Link` to the rest.',
  }),
})

const retention = z.strictObject({
  match: text('pattern', parseTagPattern).meta({
    description:
      'The tags that the rule is for. The first rule that matches a tag decides; tags that none matches are kept, and so are immutable ones. **Required.**',
  }),
  keep: z
    .strictObject({
      last: count(1_000_000).optional().meta({
        description: 'So many that were pushed last, of those in the repository that the rule is for.',
      }),
      newerThan: positiveLifetime.optional().meta({ description: 'Those that were pushed within so long.' }),
      pulledWithin: positiveLifetime
        .optional()
        .meta({ description: 'Those that were pulled, or pushed, within so long.' }),
    })
    .refine(keep => Object.values(keep).some(condition => condition !== undefined), {
      error: 'expected at least one of last, newerThan and pulledWithin',
    })
    .meta({
      form: 'keys',
      description:
        'A tag is kept while any of these holds, and deleted when none does. At least one is **required.**',
    }),
  enforce: flag
    .default(false)
    .meta({ description: '`false`: the log tells what would be deleted, and nothing is.' }),
})

const local = z.strictObject({
  match: text('pattern', parseLocalPattern).meta({
    description:
      'Repository names that are ours. Bare ones are ours under the default upstream too; the first component may be a registry: `docker.io/team/**`. The first namespace that matches has the name. **Required.**',
  }),
  name: text('name', parseNamespaceName)
    .optional()
    .meta({ fallback: 'the first component of `match`', description: 'What it is called.' }),
  policy: policyOf('these names'),
  overlay: flag.default(false).meta({
    description:
      '`false`: these names are never asked for upstream. `true`: looked up here first, then at the registry that `match` names, or at the default upstream.',
  }),
  immutableTags: list(text('pattern', parseTagPattern)).prefault([]).meta({
    description: 'Tags that, once pushed, can be neither moved nor deleted, nor the manifest they name.',
  }),
  delete: flag
    .default(true)
    .meta({ description: 'Whether clients may delete tags, manifests and blobs; `false`: 405.' }),
  missingReferences: choice(['accept', 'refuse']).default('accept').meta({
    description:
      'A manifest is pushed whose config, layers or children are not in its repository: `accept` keeps it, so that an index may leave platforms out; `refuse` answers 400 and keeps nothing.',
  }),
  untagged: positiveLifetime.prefault('forever').meta({
    description:
      'How long a manifest is kept that no tag points at, no index lists and that is about no other manifest here (as a signature is), after the first collection that found it so and after its last pull.',
  }),
  retention: list(retention).prefault([]).meta({
    form: 'list',
    description: 'Rules on how long tags are kept. A tag that goes leaves its manifest to `untagged`.',
  }),
  quota: quota.optional().meta({
    form: 'keys',
    fallback: 'what the disk takes',
    description:
      'How much the repositories of the namespace may hold together; a push beyond it is answered 403.',
  }),
})

export const configSchema = z.strictObject({
  listen: oneOrMore(text('address:port', parseListen)).prefault('0.0.0.0:8080').meta({
    form: 'address:port, or a list',
    description: 'Where the registry listens.',
  }),
  listeners: list(listener)
    .prefault([])
    .meta({ form: 'list', description: 'Instead of `listen`: addresses with a role and TLS.' }),
  hosts: list(text('host or host:port', parseHost))
    .prefault([])
    .meta({ description: 'Our own names. An `ns` parameter equal to one counts as none.' }),
  publicUrl: text('URL', parsePublicUrl).optional().meta({
    fallback: 'taken from each request',
    description: 'Our address as clients see it, when a proxy in front changes it.',
  }),
  trustedProxies: list(text('CIDR', parseCidr)).prefault([]).meta({
    description:
      'Where proxies in front of us are. Of what they pass on the client is the last address in `X-Forwarded-For`, or else in `Forwarded`, that is none of these. A request from any of them never counts as one of this machine.',
  }),
  admin: z
    .strictObject({
      listen: text('address:port or `off`', parseAdminListen).optional().meta({
        fallback: '`127.0.0.1:8081`, if that is free',
        description:
          'Where the [admin API](admin-api.md) listens besides its socket in the store: an address of this machine alone, as whoever reaches it may do everything.',
      }),
    })
    .prefault({}),
  store: store.prefault({}),
  index,
  replica: replica.optional().meta({
    form: 'keys',
    fallback: 'one replica alone',
    description: 'Several replicas that share Redis, and fetch each object once for all of them.',
  }),
  limits: limits.prefault({}),
  access: access.optional().meta({
    form: 'keys',
    fallback: 'anyone may pull, and only the machine itself push',
    description: '[Who may do what](../how-to/access.md).',
  }),
  upstreams: list(upstream)
    .min(1)
    .meta({ form: 'list', description: 'The registries that are mirrored. **Required.**' }),
  local: list(local).prefault([]).meta({ form: 'list', description: 'Names that are ours.' }),
})

export type ConfigFile = z.output<typeof configSchema>
export type LocalEntry = z.output<typeof local>

function parseShare(given: string): DiskShare {
  const bytes = parseSize(given)
  if (bytes !== undefined) return { bytes, share: 0 }
  if (/^\d{1,2}%$/.test(given)) return { bytes: 0, share: Number.parseInt(given, 10) / 100 }
  throw new FormInvalid('a size such as 10GiB or a share such as 5%')
}
