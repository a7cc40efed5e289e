/** The schema of `upstreams.yaml`, whole: what is not built yet is refused and not ignored. */
import { z } from 'zod'
import { FormInvalid, parseHost, parseListen, parsePublicUrl } from './address-forms.ts'
import {
  parseCertificates,
  parseLocalPattern,
  parseNamespaceName,
  parsePrivateKey,
  parseTagPattern,
} from './name-forms.ts'
import { parseSize } from './quantity.ts'
import { upstream } from './upstream-schema.ts'
import { choice, count, flag, lifetime, list, notYet, size, text, timer } from './values.ts'

const isEmptyList = (value: unknown) => Array.isArray(value) && value.length === 0
const plain = (form: string) => z.string().meta({ form })

const oneOrMore = <T extends z.ZodType>(item: T) =>
  z.preprocess(value => (Array.isArray(value) ? value : [value]), z.array(item).min(1))

const listener = z.strictObject({
  address: text('address:port', parseListen).meta({ description: 'As `listen`.' }),
  role: choice(['registry', 'mirror']).meta({
    description: '`mirror`: pulls only, and never a challenge. `registry`: everything.',
  }),
  tls: z
    .strictObject({
      cert: text('PEM or `file:`', parseCertificates).meta({
        description: 'The certificate and those between it and its root.',
      }),
      key: text('PEM or `file:`', parsePrivateKey).meta({ description: 'Its private key.' }),
      clientCa: text('PEM or `file:`', parseCertificates)
        .optional()
        .meta({ description: 'Clients must show a certificate signed by one of these.' }),
    })
    .optional(),
})

const s3 = z.strictObject({
  bucket: plain('text').meta({ description: 'The bucket.' }),
  region: plain('text').optional().meta({ description: 'Its region.' }),
  endpoint: plain('URL').optional().meta({ description: 'For services other than AWS.' }),
  prefix: plain('text').optional().meta({ description: 'In front of every object name.' }),
  pathStyle: flag.optional().meta({ description: 'The bucket stands in the path and not in the host.' }),
})

const store = z.strictObject({
  path: z.string().min(1).default('./data').meta({
    form: 'path',
    description: "The folder for everything that is kept. Relative to the configuration file's folder.",
  }),
  maxSize: notYet(size())
    .optional()
    .meta({ description: 'Cap on cached bytes. What was pushed is never evicted.' }),
  minFree: notYet(text('size or percentage', parseShare))
    .optional()
    .meta({ description: 'Floor of free disk.' }),
  s3: notYet(s3)
    .optional()
    .meta({ form: 'keys', description: 'A tier that replicas share; the disk becomes its cache.' }),
})

const limits = z.strictObject({
  manifest: size({ min: 1, max: 2 ** 30 })
    .prefault('4MiB')
    .meta({ description: 'The largest manifest; larger ones are refused, not buffered.' }),
  connections: count(1_000_000)
    .default(10_000)
    .meta({ description: 'Open connections of clients, per address listened on.' }),
  drain: timer({ min: 0 }).prefault('25s').meta({
    description:
      "How long transfers may go on after SIGTERM. Kubernetes' grace period, 30 s as it comes, must be longer.",
  }),
  partial: lifetime
    .prefault('1d')
    .meta({ description: 'How long the bytes of an unfinished fetch are kept to be continued.' }),
  stalled: timer({ min: 1 })
    .prefault('2m')
    .meta({ description: 'How long a client may take no bytes of an answer before it is cut off.' }),
  upload: notYet(size()).optional().meta({ description: 'The largest blob of a push.' }),
})

const local = z.strictObject({
  match: text('pattern', parseLocalPattern).meta({
    description:
      'Repository names that are ours and never asked for upstream. The first component may be a registry. **Required.**',
  }),
  name: text('name', parseNamespaceName)
    .optional()
    .meta({ fallback: 'the first component of `match`', description: 'What it is called.' }),
  overlay: notYet(flag, { what: '`true`', unless: value => value === false })
    .optional()
    .meta({ description: 'Looked up here first, then upstream.' }),
  immutableTags: notYet(list(text('pattern', parseTagPattern)), { unless: isEmptyList })
    .optional()
    .meta({ description: 'Tags that cannot be moved or deleted.' }),
  delete: notYet(flag).optional().meta({ description: 'Whether clients may delete.' }),
})

export const configSchema = z.strictObject({
  listen: oneOrMore(text('address:port', parseListen)).prefault('0.0.0.0:8080').meta({
    form: 'address:port, or a list',
    description: 'Where the registry listens.',
  }),
  listeners: notYet(list(listener), { unless: isEmptyList })
    .optional()
    .meta({ form: 'list', description: 'Instead of `listen`: addresses with a role and TLS.' }),
  hosts: list(text('host or host:port', parseHost))
    .prefault([])
    .meta({ description: 'Our own names. An `ns` parameter equal to one counts as none.' }),
  publicUrl: text('URL', parsePublicUrl).optional().meta({
    fallback: 'taken from each request',
    description: 'Our address as clients see it, when a proxy in front changes it.',
  }),
  admin: notYet(
    z.strictObject({
      listen: text('address:port', parseListen)
        .optional()
        .meta({ description: 'Where the admin API listens.' }),
    }),
  ).optional(),
  store: store.prefault({}),
  index: notYet(text('`sqlite` or URL', parseIndex), { what: 'Redis', unless: value => value === 'sqlite' })
    .prefault('sqlite')
    .meta({
      description: '`sqlite`, or `redis://…`, `rediss://…`, `redis+sentinel://…`, `redis+cluster://…`.',
    }),
  replica: notYet(
    z.strictObject({
      advertise: plain('URL').meta({ description: 'Where other replicas reach this one.' }),
      secret: plain('text or `file:`').meta({ description: 'What replicas know each other by.' }),
    }),
  ).optional(),
  limits: limits.prefault({}),
  upstreams: list(upstream)
    .min(1)
    .meta({ form: 'list', description: 'The registries that are mirrored. **Required.**' }),
  local: list(local).prefault([]).meta({ form: 'list', description: 'Names that are ours.' }),
})

export type ConfigFile = z.output<typeof configSchema>
export type LocalEntry = z.output<typeof local>

function parseIndex(given: string): string {
  if (given === 'sqlite' || /^redis(?:s|\+sentinel|\+cluster)?:\/\/./.test(given)) return given
  throw new FormInvalid(
    'sqlite, or a URL that begins with redis://, rediss://, redis+sentinel:// or redis+cluster://',
  )
}

function parseShare(given: string): string {
  if (parseSize(given) !== undefined || /^\d{1,2}%$/.test(given)) return given
  throw new FormInvalid('a size such as 10GiB or a share such as 5%')
}
