/** How the configuration names a bucket. */
import { z } from 'zod'
import { FormInvalid, parseRegistryUrl } from './address-forms.ts'
import { parseCertificates } from './name-forms.ts'
import { parseDuration } from './quantity.ts'
import { amount, count, flag, size, text, timer } from './values.ts'

const minuteMs = 60_000

const timeouts = z.strictObject({
  connect: timer().prefault('2s').meta({ description: 'For a connection to be made.' }),
  request: timer().prefault('10s').meta({
    description: 'For a small request to be answered, with all of its tries.',
  }),
  pull: timer().prefault('1s').meta({
    description: 'How long a pull waits for the bucket to tell what it has, before it goes on without it.',
  }),
  idle: timer().prefault('30s').meta({ description: 'How long a transfer may bring nothing.' }),
})

const redirect = z
  .preprocess(
    fromFlag,
    z
      .strictObject({
        from: size().prefault('1MiB').meta({ description: 'Smaller blobs are given from here.' }),
        valid: amount('duration', parseValid).prefault('15m').meta({
          description:
            'How long the address may be used, from 1m to 1d. It ends sooner where the credentials of the AWS chain do.',
        }),
        endpoint: text('URL', parseRegistryUrl)
          .optional()
          .meta({ fallback: '`store.s3.endpoint`', description: 'Where clients reach the service.' }),
      })
      .optional(),
  )
  .optional()
  .meta({
    form: '`true`, `false` or keys',
    fallback: '`false`',
    description:
      'Clients are sent to the bucket, with an address that holds for a while, for blobs that lie there and not on the disk. See [S3](../how-to/s3.md).',
  })

export const s3 = z
  .strictObject({
    bucket: text('text', parseBucket).meta({ description: 'The bucket. It has to be there. **Required.**' }),
    region: text('text', parseWord).prefault('us-east-1').meta({ description: 'Its region.' }),
    endpoint: text('URL', parseRegistryUrl)
      .optional()
      .meta({ fallback: "AWS's own", description: 'Of services other than AWS.' }),
    prefix: text('text', parsePrefix).optional().meta({
      fallback: 'none',
      description: 'In front of every key, so that a bucket can be shared with others.',
    }),
    pathStyle: flag.optional().meta({
      fallback: '`true` with an `endpoint`, else `false`',
      description: 'The bucket stands in the path of the URL and not in its host.',
    }),
    accessKeyId: text('text or `file:`', parseWord).optional().meta({
      fallback: "AWS's chain: environment, files, the pod's or the machine's identity",
      description: 'With `secretAccessKey`.',
    }),
    secretAccessKey: text('text or `file:`', parseWord)
      .optional()
      .meta({ description: 'Belongs to `accessKeyId`.' }),
    ca: text('PEM or `file:`', parseCertificates)
      .optional()
      .meta({ fallback: 'those of Node', description: 'Certificates that are trusted as well.' }),
    cached: flag.default(true).meta({
      description:
        'What was fetched from upstreams is put into the bucket too, for other replicas and for a disk that is new. What was pushed always is.',
    }),
    redirect,
    connections: count(10_000).default(128).meta({ description: 'Connections at once.' }),
    timeouts: timeouts.prefault({}),
  })
  .superRefine(({ accessKeyId, secretAccessKey }, context) => {
    if ((accessKeyId === undefined) === (secretAccessKey === undefined)) return
    const [there, missing] =
      accessKeyId === undefined ? ['secretAccessKey', 'accessKeyId'] : ['accessKeyId', 'secretAccessKey']
    context.addIssue({ code: 'custom', path: [there], message: `expected \`${missing}\` beside it` })
  })

export type S3Entry = z.output<typeof s3>

function parseBucket(given: string): string {
  if (/^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$/.test(given)) return given
  throw new FormInvalid('the name of a bucket: 3 to 63 lower-case letters, digits and . _ -')
}

/** `true` stands for the defaults. */
function fromFlag(given: unknown): unknown {
  if (given === false) return undefined
  return given === true ? {} : given
}

function parseValid(given: string): number {
  const validMs = parseDuration(given)
  if (validMs !== undefined && validMs >= minuteMs && validMs <= 1440 * minuteMs) return validMs
  throw new FormInvalid('a duration such as 15m or 1h, from 1m to 1d')
}

function parseWord(given: string): string {
  if (/^[\x21-\x7e]+$/.test(given)) return given
  throw new FormInvalid('printable characters without spaces')
}

/** Without a slash at either end. */
function parsePrefix(given: string): string {
  const prefix = given.replace(/^\/+|\/+$/g, '')
  if (/^[\w.-]+(?:\/[\w.-]+)*$/.test(prefix) && !prefix.split('/').includes('..')) return prefix
  throw new FormInvalid('a prefix of keys such as layover or team/layover: letters, digits, . _ - and /')
}
