/** Registry tokens: the key `tokens` of the configuration. */
import { z } from 'zod'
import type { TokenOptions } from '../../access/options.ts'
import { algorithmOf, privateKeyIn, TokenKeyInvalid } from '../../access/tokens/keys.ts'
import { FormInvalid } from '../address-forms.ts'
import { parseDuration } from '../quantity.ts'
import { amount, list, text } from '../values.ts'

const minuteMs = 60_000
const dayMs = 86_400_000

export const tokens = z
  .strictObject({
    keys: list(
      z.strictObject({
        key: text('PEM or `file:`', parseSigningKey).meta({
          description:
            'A private key, Ed25519 or P-256, as `openssl genpkey -algorithm ed25519` makes it. **Required.**',
        }),
      }),
    )
      .prefault([])
      .meta({
        form: 'list',
        fallback: 'one of the store, or of `replica.secret`',
        description:
          'What tokens are signed with: the first key signs, and tokens of all of them are good. To replace a key put the new one in front, and remove the old one when its last token has ended (`refresh`). Replicas have the same keys.',
      }),
    life: between('5m', 'a duration from 1m to 1d', dayMs).meta({
      description: 'How long a token is good: what was granted is not looked at again for so long.',
    }),
    refresh: between('30d', 'a duration from 1m to 365d', 365 * dayMs).meta({
      description:
        'How long `docker login` holds. A changed password, or a user that is removed, ends it at once.',
    }),
  })
  .prefault({})

export function tokenOptions({ keys, life, refresh }: z.output<typeof tokens>): TokenOptions {
  return { keys: keys.map(({ key }) => key), lifeMs: life, refreshMs: refresh }
}

/** Clients take less than a minute for a minute. */
function between(fallback: string, expected: string, most: number) {
  return amount('duration', given => {
    const value = parseDuration(given)
    if (value === undefined || value < minuteMs || value > most) throw new FormInvalid(expected)
    return value
  }).prefault(fallback)
}

function parseSigningKey(pem: string): string {
  try {
    algorithmOf(privateKeyIn(pem))
    return pem
  } catch (error) {
    if (!(error instanceof TokenKeyInvalid)) throw error
    throw new FormInvalid(`${error.message}, or file: and the path of a PEM file`)
  }
}
