/** `listeners`: addresses with a role and TLS. */
import { z } from 'zod'
import { parseListen } from './address-forms.ts'
import { parseCertificates, parsePrivateKey, parseRevocations } from './name-forms.ts'
import { choice, text } from './values.ts'

export const listener = z.strictObject({
  address: text('address:port', parseListen).meta({ description: 'As `listen`. **Required.**' }),
  role: choice(['registry', 'mirror']).default('registry').meta({
    description: '`mirror`: pulls only, and never a challenge. `registry`: everything.',
  }),
  tls: z
    .strictObject({
      cert: text('PEM or `file:`', parseCertificates).meta({
        description: 'The certificate, and behind it those between it and its root. **Required.**',
      }),
      key: text('PEM or `file:`', parsePrivateKey).meta({ description: 'Its private key. **Required.**' }),
      clientCa: text('PEM or `file:`', parseCertificates).optional().meta({
        fallback: 'clients are not asked for certificates',
        description:
          'Who signs the certificates that clients show, each with those between it and its root. Changes need no restart: connections that are open end after their current answer.',
      }),
      clientAuth: choice(['required', 'optional']).optional().meta({
        fallback: '`required`, with `clientCa`',
        description:
          '`required`: the handshake of who shows none fails. `optional`: it is let in; who shows a wrong one is answered 403.',
      }),
      clientCrl: text('PEM or `file:`', parseRevocations).optional().meta({
        fallback: 'nothing is looked up',
        description:
          'Lists of the certificates that were taken back: one that is in force of every authority in `clientCa`, or nobody of that authority gets in.',
      }),
    })
    .optional()
    .meta({
      form: 'keys',
      fallback: 'plain HTTP',
      description: 'HTTPS, TLS 1.2 or later. Changed certificates are taken up without a restart.',
    }),
})
