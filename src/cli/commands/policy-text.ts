/** What policies say to a question, for people. */
import { nameOf } from '../../access/caller.ts'
import type {
  Explanation,
  Outcome,
  PolicyExplanation,
  RuleExplanation,
} from '../../access/policy/policies.ts'
import type { Asked, Verdict } from '../../access/question.ts'

export function explanationText(asked: Asked, { verdict, policies }: Explanation): string {
  const denied = policies.findIndex(policy => !policy.verdict.allowed)
  return [
    `${whoOf(asked)} from ${asked.client}: ${whatOf(asked)}`,
    ...policies.flatMap((policy, nth) => ['', ...policyLines(policy, denied >= 0 && nth > denied)]),
    '',
    verdictLine(verdict),
    '',
  ].join('\n')
}

function whoOf({ caller }: Asked): string {
  const name = nameOf(caller)
  return name === undefined ? caller.method : `${name} (${caller.method})`
}

function whatOf({ action, repository, tag, digest, object, namespace, upstream }: Asked): string {
  if (repository === '') return action
  const reference = tag === '' ? digest && `@${digest}` : `:${tag}`
  const places = [namespace && `namespace ${namespace}`, upstream && `upstream ${upstream}`]
  return [
    `${action} ${repository}${reference}`,
    ...(object === '' ? [] : [`a ${object}`]),
    ...places.filter(Boolean),
  ].join(', ')
}

function policyLines(policy: PolicyExplanation, isBehind: boolean): string[] {
  const outcome = policy.verdict.allowed ? 'allows' : 'denies'
  const said = isBehind ? `not asked any more; ${outcome}` : outcome
  return [`${policy.name}, by default ${policy.default}: ${said}`, ...policy.rules.map(ruleLine)]
}

/** The arrow is at the rule that decided. */
function ruleLine({ name, when, outcome, decided }: RuleExplanation): string {
  const shown = name === undefined ? when : `"${name}": ${when}`
  const line = `${decided ? '→' : ' '} ${wordOf(outcome).padEnd(5)}  ${shown.replaceAll(/\s+/g, ' ').trim()}`
  return 'error' in outcome ? `${line}\n           ${outcome.error}` : line
}

function wordOf(outcome: Outcome): string {
  return 'error' in outcome ? 'fails' : String(outcome.value)
}

function verdictLine(verdict: Verdict): string {
  return verdict.allowed ? 'Allowed.' : `Denied: ${verdict.reason}.`
}
