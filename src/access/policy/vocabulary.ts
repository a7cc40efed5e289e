/** What rules may speak of: the variables and functions of CEL that they have, and the limits on how much they say. */
import { Environment } from '@marcbachmann/cel-js'
import { matchesPattern } from '../../oci/pattern.ts'
import { type CertificateNames, nameOf } from '../caller.ts'
import type { Asked } from '../question.ts'
import { isInside } from './ranges.ts'

/** Longer ones are mistakes. */
export const maxExpressionLength = 8 * 1024
/** Elements of a list that is written out, and of a mapping. */
const maxElements = 500

const limits = {
  maxAstNodes: 2_000,
  maxDepth: 64,
  maxListElements: maxElements,
  maxMapEntries: maxElements,
  maxCallArguments: 8,
}

/** Names of variables with their types. `namespace` is a reserved word of CEL: it is `local`, as in the configuration. */
const variables = {
  action: 'string',
  object: 'string',
  repository: 'string',
  upstream: 'string',
  local: 'string',
  tag: 'string',
  digest: 'string',
  reference: 'string',
  client: 'string',
  user: 'string',
  provider: 'string',
  method: 'string',
  authenticated: 'bool',
  claims: 'map<string, dyn>',
  certificate: 'Certificate',
} as const

export type Variable = keyof typeof variables

export const variableNames = Object.keys(variables).sort() as Variable[]

export const certificateFields: readonly (keyof CertificateNames)[] = [
  'commonNames',
  'organizations',
  'dns',
  'emails',
  'uris',
]

/** Variables that have one of few values. */
export const values: Partial<Record<Variable, readonly string[]>> = {
  action: ['pull', 'push', 'delete', 'catalog', 'health', 'metrics'],
  object: ['manifest', 'blob', 'upload', 'tags', 'referrers', ''],
  method: ['anonymous', 'password', 'oidc', 'certificate'],
} satisfies { action: Asked['action'][]; object: Asked['object'][]; method: Asked['caller']['method'][] }

/** A type of its own, so that a field that there is not is found when the rule is loaded. */
class Certificate implements CertificateNames {
  readonly commonNames: readonly string[]
  readonly organizations: readonly string[]
  readonly dns: readonly string[]
  readonly emails: readonly string[]
  readonly uris: readonly string[]

  constructor(names?: CertificateNames) {
    this.commonNames = names?.commonNames ?? []
    this.organizations = names?.organizations ?? []
    this.dns = names?.dns ?? []
    this.emails = names?.emails ?? []
    this.uris = names?.uris ?? []
  }
}

const none = new Certificate()

export const environment = new Environment({ limits })
environment.registerType('Certificate', {
  ctor: Certificate,
  fields: Object.fromEntries(certificateFields.map(field => [field, 'list<string>'])),
})
for (const [name, type] of Object.entries(variables)) environment.registerVariable(name, type)
environment.registerFunction('string.inside(string): bool', isInside)
environment.registerFunction('string.like(string): bool', (text: string, pattern: string) =>
  matchesPattern(pattern, text),
)

export type Values = Readonly<Record<Variable, unknown>>

/** What the variables are for a question. */
export function valuesOf(asked: Asked): Values {
  const { action, object, repository, upstream, namespace, tag, digest, client, caller } = asked
  return {
    action,
    object,
    repository,
    upstream,
    local: namespace,
    tag,
    digest,
    reference: tag === '' ? digest : tag,
    client,
    user: nameOf(caller) ?? '',
    provider: caller.provider,
    method: caller.method,
    authenticated: caller.method !== 'anonymous',
    claims: caller.claims,
    certificate: caller.certificate ? new Certificate(caller.certificate) : none,
  }
}
