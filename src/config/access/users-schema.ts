/** Keys of `access` about users with passwords, failed logins and rates of requests. */
import { z } from 'zod'
import type { LoginLimits, RateOptions, UserOptions } from '../../access/options.ts'
import { HtpasswdInvalid, isUserName, parseHtpasswd, userNameForm } from '../../access/passwords/htpasswd.ts'
import { HashInvalid, parsePasswordHash } from '../../access/passwords/password-hash.ts'
import { FormInvalid } from '../address-forms.ts'
import { list, text, timer } from '../values.ts'

const limit = (usual: number) => z.int().min(0).max(1_000_000).meta({ form: 'number' }).default(usual)

export const users = list(
  z.strictObject({
    name: text('text', parseName).meta({ description: 'What clients log in as. **Required.**' }),
    password: text('hash or `file:`', parseHash).meta({
      description:
        'The hash of the password, of argon2id or bcrypt: `layover password` asks for a password and prints one. **Required.**',
    }),
  }),
)
  .superRefine((given, context) => {
    const names = new Set<string>()
    for (const [at, { name }] of given.entries()) {
      if (names.has(name)) twice(context, [at, 'name'])
      names.add(name)
    }
  })
  .prefault([])
  .meta({ form: 'list', description: 'Users with passwords.' })

export const htpasswd = text('`file:`', parseUsers).optional().meta({
  description:
    'More of them, in a file as `htpasswd -B` writes it, with bcrypt or argon2id. Taken over when it changes. Bcrypt reads no more than 72 bytes: a longer password is refused.',
})

export const logins = z
  .strictObject({
    perAddress: limit(20).meta({
      description:
        'After so many failed logins within `window` an address (of IPv6: its /64) is answered 429, whoever it tries to be; a good token of an issuer is taken all the same. Who has logged in from there within a day is counted apart from its neighbours. The same wrong password that comes again within 10 s is not counted. 0: no limit.',
    }),
    perUser: limit(100).meta({
      description:
        'After so many failed logins as one user, from addresses that have not logged in as that user within a day, each of these has three failures in all: guessing is slow, and strangers lock nobody out. 0: no limit.',
    }),
    window: timer({ min: 1000 }).prefault('5m').meta({ description: 'How long a failed login counts.' }),
  })
  .prefault({})
  .meta({ form: 'keys', description: 'Limits on failed logins.' })

export const rates = z
  .strictObject({
    perAddress: limit(0).meta({
      description:
        'So many requests a minute of one address (of IPv6: its /64); more are answered 429 with `Retry-After`. 0: no limit, since an office behind one NAT address is one client.',
    }),
    perUser: limit(0).meta({ description: 'The same of one user, wherever the requests come from.' }),
  })
  .prefault({})
  .meta({
    form: 'keys',
    description:
      'Limits on requests to all server processes together, and to all replicas that share a Redis.',
  })

type Users = Readonly<{ users: z.output<typeof users>; htpasswd?: z.output<typeof htpasswd> }>

/** For the schema of `access` whole: nobody is in both places. */
export function usersOnce({ users: given, htpasswd: more = [] }: Users, context: z.RefinementCtx): void {
  const names = new Set(more.map(({ name }) => name))
  for (const [at, { name }] of given.entries()) if (names.has(name)) twice(context, ['users', at, 'name'])
}

export function userOptions({ users: given, htpasswd: more = [] }: Users): UserOptions[] {
  return [...given.map(({ name, password }) => ({ name, hash: password })), ...more]
}

export function loginLimits({ perAddress, perUser, window }: z.output<typeof logins>): LoginLimits {
  return { perAddress, perUser, windowMs: window }
}

export function rateOptions({ perAddress, perUser }: z.output<typeof rates>): RateOptions {
  return { perAddress, perUser }
}

function twice(context: z.RefinementCtx, path: (string | number)[]): void {
  const message = 'expected each user once, in `users` and `htpasswd` together'
  context.addIssue({ code: 'custom', path, message })
}

function parseName(given: string): string {
  if (!isUserName(given)) throw new FormInvalid(userNameForm)
  return given
}

/** No cause: it might be the password. */
function parseHash(given: string): string {
  try {
    parsePasswordHash(given)
    return given
  } catch (error) {
    throw error instanceof HashInvalid ? new FormInvalid(error.message) : error
  }
}

function parseUsers(given: string): UserOptions[] {
  if (/^[^:\r\n]+$/.test(given))
    throw new FormInvalid('file: and the path of an htpasswd file, such as file:users.htpasswd')
  try {
    return parseHtpasswd(given)
  } catch (error) {
    throw error instanceof HtpasswdInvalid ? new FormInvalid(error.message) : error
  }
}
