/** `layover policy test`: what the policies of a configuration say to a question, and why. Nobody is asked, no server has to run. */

import { placeOf } from '../../access/place.ts'
import { Policies } from '../../access/policy/policies.ts'
import { type Asked, ofNothing } from '../../access/question.ts'
import { parseImage } from '../../admin/image.ts'
import type { Config } from '../../config/config.ts'
import { loadConfig } from '../../config/load.ts'
import { ConfigError } from '../../config/problem.ts'
import { createLogger } from '../../observe/log.ts'
import { RegistryError } from '../../oci/errors.ts'
import { parseReference, type Reference } from '../../oci/reference.ts'
import type { Resolver } from '../../resolve/resolve.ts'
import { closedUpstream } from '../../upstream/closed.ts'
import { policySetOf, type WithPolicies } from '../policy-set.ts'
import { resolverOf } from '../resolver.ts'
import { type PolicyQuestion, parsePolicyArgs } from './policy-args.ts'
import { explanationText } from './policy-text.ts'

interface Output {
  write(text: string): unknown
}

/** Resolves with the exit code: 0 allowed, 1 denied, 2 a mistake. */
export async function runPolicy(args: readonly string[], out: Output, err: Output): Promise<number> {
  const question = parsePolicyArgs(args)
  if (typeof question === 'string') {
    err.write(`layover: ${question}; \`layover --help\` tells what there is\n`)
    return 2
  }
  try {
    const { config } = await loadConfig(question.config)
    return testPolicy(config, question, out, err)
  } catch (error) {
    if (!(error instanceof ConfigError || error instanceof RegistryError)) throw error
    err.write(error instanceof ConfigError ? `${error.message}\n` : `layover: ${error.message}\n`)
    return 2
  }
}

/** @throws RegistryError for a name that leads nowhere */
export function testPolicy(
  config: WithPolicies & Pick<Config, 'upstreams' | 'local' | 'hosts'>,
  question: PolicyQuestion,
  out: Output,
  err: Output,
): number {
  const { access } = config
  if (!access) {
    err.write(
      'layover: there are no policies: without `access` in the configuration everybody may pull, and only the machine itself push and delete\n',
    )
    return 2
  }
  const resolver = resolverOf(config, ({ options }) => closedUpstream(options))
  const asked = askedOf(question, resolver)
  const explanation = new Policies(policySetOf(access, config), createLogger('silent')).explain(asked)
  out.write(explanationText(asked, explanation))
  const { allowed } = explanation.verdict
  if (isUnknown(asked, config))
    out.write(`But there is no user ${asked.caller.user}: nobody logs in as that.\n`)
  if (allowed && access.webhook) out.write('The webhook, which is asked next, may still deny it.\n')
  return allowed ? 0 : 1
}

/** Somebody who was misspelt, or removed. */
function isUnknown({ caller }: Asked, { access }: WithPolicies): boolean {
  return caller.method === 'password' && access?.users?.every(({ name }) => name !== caller.user) === true
}

function askedOf(question: PolicyQuestion, resolver: Resolver): Asked {
  const { name, ns, action, caller, client } = question
  if (name === undefined) return { ...ofNothing, action, caller, client }
  const image = parseImage(name, resolver, resolver.effectiveNs(ns ?? null))
  const reference = question.reference === undefined ? image.reference : parseReference(question.reference)
  return {
    action,
    ...placeOf(image.resolved, resolver),
    object: question.object ?? (reference ? 'manifest' : ''),
    ...namesOf(reference),
    caller,
    client,
  }
}

function namesOf(reference: Reference | undefined): Pick<Asked, 'tag' | 'digest'> {
  return {
    tag: reference?.kind === 'tag' ? reference.tag : '',
    digest: reference?.kind === 'digest' ? reference.digest : '',
  }
}
