/** How the configuration says who we are at an upstream. */
import { z } from 'zod'
import { parsePassword, parseToken, parseUserAndPassword, parseUsername } from './name-forms.ts'
import { notYet, text } from './values.ts'

const forms = [
  ['username', 'password'],
  ['token'],
  ['file'],
  ['docker'],
  ['exec'],
  ['ecr'],
  ['gar'],
  ['acr'],
] as const

const later = (meaning: string) =>
  notYet(z.looseObject({}).meta({ form: 'keys' }))
    .optional()
    .meta({ description: meaning })

/** One of several forms, kept in one object so that a mistake is told of the keys that are there. */
export const credentials = z
  .strictObject({
    username: text('text or `file:`', parseUsername)
      .optional()
      .meta({ description: 'With `password`: sent to the registry and to its token host.' }),
    password: text('text or `file:`', parsePassword)
      .optional()
      .meta({ description: 'Password or access token that belongs to `username`.' }),
    token: text('text or `file:`', parseToken)
      .optional()
      .meta({ description: 'A bearer token, sent to the registry as it is.' }),
    file: text('path', parseUserAndPassword)
      .optional()
      .meta({ description: 'A file with one line, `user:password`.' }),
    docker: z.string().min(1).optional().meta({
      form: 'path',
      description:
        'A `config.json` of Docker or `auth.json` of podman, credential helpers included. Read again whenever it changes.',
    }),
    exec: later('A command that prints a credential.'),
    ecr: later("AWS: the machine's or the pod's own identity."),
    gar: later("Google Cloud: the machine's or the pod's own identity."),
    acr: later("Azure: the machine's or the pod's own identity."),
  })
  .superRefine((given, context) => {
    const present = Object.keys(given).filter(key => given[key as keyof typeof given] !== undefined)
    if (forms.some(form => isSame(form, present))) return
    const message = `expected one form: username and password, token, file, or docker; found ${present.join(', ') || 'none'}`
    context.addIssue({ code: 'custom', message })
  })

export type Credentials = z.output<typeof credentials>

function isSame(form: readonly string[], present: readonly string[]): boolean {
  return form.length === present.length && form.every(key => present.includes(key))
}
