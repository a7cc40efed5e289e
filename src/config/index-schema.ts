/** Where the index is: the key `index` of the configuration. */
import { z } from 'zod'
import { parseRedisAddress, type RedisAddress, RedisAddressInvalid } from '../cluster/redis/address.ts'
import { FormInvalid } from './address-forms.ts'
import { parseCertificates, parsePrivateKey } from './name-forms.ts'
import { text } from './values.ts'

export const index = z
  .preprocess(
    value => (typeof value === 'string' ? { url: value } : value),
    z.strictObject({
      url: text('`sqlite` or URL', parseIndex).meta({
        description:
          '`redis://host:6379`, `redis+sentinel://host:26379,host:26379/master` or `redis+cluster://host:6379,host:6379`; with TLS `rediss://`, `rediss+sentinel://` or `rediss+cluster://`. `user:password@` may stand in front of the hosts, and behind them the number of a database. An `index` that is a text is this. **Required.**',
      }),
      username: z.string().optional().meta({ form: 'text or `file:`', description: 'Of the user in Redis.' }),
      password: z
        .string()
        .optional()
        .meta({ form: 'text or `file:`', description: "Its password, or the server's." }),
      sentinelUsername: z.string().optional().meta({
        form: 'text or `file:`',
        description: 'Of the user that the Sentinels know, if they have users.',
      }),
      sentinelPassword: z
        .string()
        .optional()
        .meta({ form: 'text or `file:`', description: 'What the Sentinels want, if it is another one.' }),
      prefix: text('text', parsePrefix).prefault('layover:').meta({
        description:
          'In front of every key, so that several sites can share a Redis. Replicas have the same.',
      }),
      ca: text('PEM or `file:`', parseCertificates).optional().meta({
        fallback: 'the well-known ones',
        description: 'Who may have signed the certificate of Redis, with TLS.',
      }),
      cert: text('PEM or `file:`', parseCertificates)
        .optional()
        .meta({ description: 'The certificate that is shown to Redis.' }),
      key: text('PEM or `file:`', parsePrivateKey).optional().meta({ description: 'Its private key.' }),
    }),
  )
  .prefault('sqlite')
  .meta({
    form: '`sqlite`, URL or keys',
    fallback: '`sqlite`',
    description:
      'Where the index is. `sqlite`: in a file of the store. Otherwise the URL of a Redis that replicas share, or keys. See [Redis](../how-to/redis.md).',
  })

/** Undefined: SQLite. */
function parseIndex(given: string): RedisAddress | undefined {
  try {
    return given === 'sqlite' ? undefined : parseRedisAddress(given)
  } catch (error) {
    if (!(error instanceof RedisAddressInvalid)) throw error
    throw new FormInvalid(`${given.startsWith('redis') ? '' : 'sqlite, '}${error.message}`)
  }
}

/** Braces would decide the hash slot of every key of a Cluster. */
function parsePrefix(given: string): string {
  if (/^[^\s{}]{0,64}$/.test(given)) return given
  throw new FormInvalid('at most 64 characters without spaces and braces')
}
