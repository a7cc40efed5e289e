/** How the configuration says who we are at an upstream. */
import { z } from 'zod'
import {
  parseAbsolutePath,
  parsePassword,
  parseRegion,
  parseRoleArn,
  parseToken,
  parseUserAndPassword,
  parseUsername,
} from './name-forms.ts'
import { choice, list, text, timer } from './values.ts'

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

const exec = z
  .strictObject({
    command: text('absolute path', parseAbsolutePath).meta({
      description: 'The program. It is run without a shell. **Required.**',
    }),
    args: list(z.string().meta({ form: 'text' }))
      .prefault([])
      .meta({ description: 'Its arguments; every user of the machine can read them.' }),
    env: z.record(z.string(), z.string()).prefault({}).meta({
      form: 'names and texts',
      description:
        "Its environment. Besides, it gets `PATH`, `HOME`, `TMPDIR`, `LANG`, what names proxies and certificates, and nothing else of Layover's own.",
    }),
    timeout: timer().prefault('15s').meta({ description: 'For its answer.' }),
    apiVersion: choice(['v1', 'v1beta1', 'v1alpha1'])
      .default('v1')
      .meta({ description: 'Of `credentialprovider.kubelet.k8s.io`.' }),
  })
  .optional()
  .meta({
    form: 'keys',
    description:
      "A credential provider of the kubelet, such as `ecr-credential-provider`: run anew when its `cacheDuration` ends. The kubelet's rules say which of its answers is for an image.",
  })

const ecr = z
  .strictObject({
    region: text('region', parseRegion).optional().meta({
      fallback: "the region in the registry's name",
      description: 'Where the registry is. A registry of another name than those of ECR needs it.',
    }),
    roleArn: text('ARN', parseRoleArn).optional().meta({ description: 'A role to assume first.' }),
  })
  .optional()
  .meta({
    form: 'keys, or `{}`',
    description:
      'Amazon ECR and ECR Public, as who we are in AWS: access keys of the environment, web identity (IRSA), Pod Identity or ECS, the instance (IMDSv2).',
  })

const gar = z
  .strictObject({
    file: z.string().min(1).optional().meta({
      form: 'path',
      fallback: '`GOOGLE_APPLICATION_CREDENTIALS`, the metadata server',
      description: "A service account's key, or a configuration of workload identity federation.",
    }),
  })
  .optional()
  .meta({
    form: 'keys, or `{}`',
    description: "Google's Artifact Registry and gcr.io, as who we are in Google Cloud.",
  })

const acr = z
  .strictObject({
    clientId: z.string().min(1).optional().meta({
      form: 'text',
      fallback: "`AZURE_CLIENT_ID`, the machine's only identity",
      description: 'Which identity.',
    }),
    tenant: z
      .string()
      .min(1)
      .optional()
      .meta({ form: 'text', fallback: '`AZURE_TENANT_ID`', description: 'Its tenant.' }),
  })
  .optional()
  .meta({
    form: 'keys, or `{}`',
    description:
      'Azure Container Registry, as who we are in Entra ID: workload identity or a client secret of the environment, the managed identity of the machine.',
  })

/** One of several forms, kept in one object so that a mistake is told of the keys that are there. */
const form = z
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
    exec,
    ecr,
    gar,
    acr,
  })
  .superRefine((given, context) => {
    const present = Object.keys(given).filter(key => given[key as keyof typeof given] !== undefined)
    if (forms.some(keys => isSame(keys, present))) return
    const message = `expected one form: username and password, token, file, docker, exec, ecr, gar, or acr; found ${present.join(', ') || 'none'}`
    context.addIssue({ code: 'custom', message })
  })

/** One, or a list of several. */
export const credentials = z.preprocess(
  value => (Array.isArray(value) ? value : [value]),
  z.array(form).min(1),
)

export type Credentials = z.output<typeof form>

function isSame(keys: readonly string[], present: readonly string[]): boolean {
  return keys.length === present.length && keys.every(key => present.includes(key))
}
