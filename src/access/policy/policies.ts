/** Who may do what, as the policies have it: the global one, that of the namespace and that of the upstream. */
import type { Logger } from '../../observe/log.ts'
import { Quiet } from '../../observe/quiet.ts'
import type { PolicyOptions, RuleOptions } from '../options.ts'
import { type Asked, allowed, type Verdict } from '../question.ts'
import { type Expression, failureOf, parseExpression } from './expression.ts'
import { type Values, type Variable, valuesOf } from './vocabulary.ts'

export interface PolicySet {
  readonly global: PolicyOptions
  /** By registry. */
  readonly upstreams: Readonly<Record<string, PolicyOptions>>
  /** By name of the local namespace. */
  readonly namespaces: Readonly<Record<string, PolicyOptions>>
}

/** `error`: it failed, or gave neither true nor false. */
export type Outcome = { readonly value: boolean } | { readonly error: string }

export interface RuleExplanation {
  /** Undefined: it has none. */
  readonly name: string | undefined
  readonly when: string
  readonly outcome: Outcome
  /** It was the first that decided; those behind it are not looked at when it counts. */
  readonly decided: boolean
}

export interface PolicyExplanation {
  /** `access.policy`, `the policy of ghcr.io`. */
  readonly name: string
  readonly default: PolicyOptions['default']
  readonly rules: readonly RuleExplanation[]
  readonly verdict: Verdict
}

export interface Explanation {
  readonly verdict: Verdict
  /** In their order; those behind the first that denies are not looked at when it counts. */
  readonly policies: readonly PolicyExplanation[]
}

/** Characters of a rule without a name. */
const maxShown = 200

const aboutObjects = ['object', 'tag', 'digest', 'reference'] as const satisfies Variable[]

export class Policies {
  /** Whether some rule reads what is known of one object only: without it, a decision says nothing. */
  readonly readsObjects: boolean
  readonly #global: Policy
  readonly #upstreams: ReadonlyMap<string, Policy>
  readonly #namespaces: ReadonlyMap<string, Policy>
  readonly #log: Logger
  readonly #quiet: Quiet

  /** @throws ExpressionInvalid */
  constructor(set: PolicySet, log: Logger, quiet = new Quiet()) {
    this.#global = new Policy('access.policy', set.global)
    this.#upstreams = policiesOf(set.upstreams, 'upstream')
    this.#namespaces = policiesOf(set.namespaces, 'namespace')
    this.#log = log
    this.#quiet = quiet
    const all = [this.#global, ...this.#upstreams.values(), ...this.#namespaces.values()]
    this.readsObjects = aboutObjects.some(variable => all.some(policy => policy.reads(variable)))
  }

  /**
   * First the global policy, then that of the question's namespace, then that of its upstream: each must allow. The
   * reason of a denial names policy and rule, and has nothing of the claims.
   */
  decide(asked: Asked): Verdict {
    const values = valuesOf(asked)
    const verdict = this.#ask(this.#global, values)
    if (!verdict.allowed) return verdict
    const namespace = this.#namespaces.get(asked.namespace)
    const local = namespace ? this.#ask(namespace, values) : allowed
    if (!local.allowed) return local
    const upstream = this.#upstreams.get(asked.upstream)
    return upstream ? this.#ask(upstream, values) : allowed
  }

  /** Every rule of every policy for the question, and what came of it. */
  explain(asked: Asked): Explanation {
    const values = valuesOf(asked)
    const policies = [
      this.#global,
      this.#namespaces.get(asked.namespace),
      this.#upstreams.get(asked.upstream),
    ].flatMap(policy => (policy ? [policy.explain(values)] : []))
    const denied = policies.find(({ verdict }) => !verdict.allowed)
    return { verdict: denied?.verdict ?? allowed, policies }
  }

  #ask(policy: Policy, values: Values): Verdict {
    return policy.decide(values, (rule, failure) => this.#tell(policy, rule, failure))
  }

  /** Neither the caller nor its claims: the audit has who was denied. */
  #tell(policy: Policy, { shown }: Rule, failure: string): void {
    const fields = { policy: policy.name, rule: shown, failure }
    this.#quiet.say(`${policy.name} ${shown}`, () =>
      this.#log.warn(fields, 'a rule of a policy failed, which denies'),
    )
  }
}

function policiesOf(
  options: Readonly<Record<string, PolicyOptions>>,
  kind: string,
): ReadonlyMap<string, Policy> {
  return new Map(
    Object.entries(options).map(([name, each]) => [name, new Policy(`the policy of ${kind} ${name}`, each)]),
  )
}

interface Rule {
  readonly name: string | undefined
  /** In log lines and reasons. */
  readonly shown: string
  readonly expression: Expression
  /** If it is true. */
  readonly verdict: Verdict
  readonly failed: Verdict
}

/** The first rule that is true or fails decides. */
class Policy {
  readonly name: string
  readonly #default: PolicyOptions['default']
  readonly #rules: readonly Rule[]
  /** If no rule decides. */
  readonly #otherwise: Verdict

  constructor(name: string, options: PolicyOptions) {
    this.name = name
    this.#default = options.default
    this.#rules = options.rules.map(rule => ruleOf(name, options.default, rule))
    this.#otherwise =
      options.default === 'allow' ? allowed : { allowed: false, reason: `no rule of ${name} allows it` }
  }

  reads(variable: Variable): boolean {
    return this.#rules.some(({ expression }) => expression.reads.has(variable))
  }

  decide(values: Values, failed: (rule: Rule, failure: string) => void): Verdict {
    for (const rule of this.#rules) {
      try {
        const value = rule.expression.value(values)
        if (value === true) return rule.verdict
        if (value === false) continue
        failed(rule, 'it is neither true nor false')
      } catch (error) {
        failed(rule, failureOf(error, rule.expression))
      }
      return rule.failed
    }
    return this.#otherwise
  }

  explain(values: Values): PolicyExplanation {
    const outcomes = this.#rules.map(({ expression }) => outcomeOf(expression, values))
    const first = outcomes.findIndex(outcome => 'error' in outcome || outcome.value)
    return {
      name: this.name,
      default: this.#default,
      rules: this.#rules.flatMap(({ name, expression }, nth): RuleExplanation[] => {
        const outcome = outcomes[nth]
        return outcome ? [{ name, when: expression.text, outcome, decided: nth === first }] : []
      }),
      verdict: this.decide(values, () => {}),
    }
  }
}

function ruleOf(policy: string, fallback: PolicyOptions['default'], { name, when }: RuleOptions): Rule {
  const shown = name ?? when.replaceAll(/\s+/g, ' ').trim().slice(0, maxShown)
  return {
    name,
    shown,
    expression: parseExpression(when),
    verdict:
      fallback === 'deny'
        ? allowed
        : { allowed: false, reason: `the rule "${shown}" of ${policy} denies it` },
    failed: { allowed: false, reason: `the rule "${shown}" of ${policy} failed, which denies` },
  }
}

/** With what is wrong in full: for who asks at the command line about a caller of their own making. */
function outcomeOf(expression: Expression, values: Values): Outcome {
  try {
    const value = expression.value(values)
    return typeof value === 'boolean' ? { value } : { error: 'it is neither true nor false' }
  } catch (error) {
    return { error: failureOf(error, expression) }
  }
}
