/** How the configuration names a webhook that decides about access. */
import { z } from 'zod'
import type { WebhookOptions } from '../../access/options.ts'
import { parseWebhookUrl } from '../address-forms.ts'
import { parseCertificates, parseToken } from '../name-forms.ts'
import { text, timer } from '../values.ts'

export const webhook = z.strictObject({
  url: text('URL', parseWebhookUrl).meta({
    description:
      'Where it is asked by POST, as the Open Policy Agent is: `https://opa.corp.example/v1/data/layover/allow`. Who is on the way to a http:// URL decides too. **Required.**',
  }),
  token: text('text or `file:`', parseToken)
    .optional()
    .meta({ description: 'Sent to it as a bearer token.' }),
  timeout: timer().prefault('2s').meta({
    description: 'For a whole answer. Where there is none the client gets 503 with `Retry-After`.',
  }),
  allowFor: timer({ min: 0 })
    .prefault('30s')
    .meta({ description: 'How long an allowance is remembered, for the same question.' }),
  denyFor: timer({ min: 0 })
    .prefault('5s')
    .meta({ description: 'How long a denial is remembered, for the same question.' }),
  ca: text('PEM or `file:`', parseCertificates).optional().meta({
    fallback: 'what Node trusts',
    description: 'Certificates that vouch for it.',
  }),
})

export type WebhookEntry = z.output<typeof webhook>

export function webhookOptions({ url, token, timeout, allowFor, denyFor, ca }: WebhookEntry): WebhookOptions {
  return { url, token, timeoutMs: timeout, allowMs: allowFor, denyMs: denyFor, ca }
}
