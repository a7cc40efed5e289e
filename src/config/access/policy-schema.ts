/** Policies: how the configuration says who may do what. Every expression is checked when it is loaded. */
import { z } from 'zod'
import type { PolicyOptions } from '../../access/options.ts'
import { ExpressionInvalid, parseExpression } from '../../access/policy/expression.ts'
import { presetNames, presets } from '../../access/policy/presets.ts'
import { FormInvalid } from '../address-forms.ts'
import { choice, text } from '../values.ts'

/** Of one policy. */
const maxRules = 200
const maxNameLength = 100

const rule = z.preprocess(
  given => (typeof given === 'string' ? { when: given } : given),
  z.strictObject({
    name: text('text', parseRuleName).optional().meta({
      fallback: 'the expression',
      description: 'What the log and `layover policy test` call it.',
    }),
    when: z.string().transform(checked).meta({
      form: 'CEL',
      description: 'An expression that is true or false. A rule that is a text is this. **Required.**',
    }),
  }),
)

/** Keys, or the name of a preset in their place. */
export const policy = z
  .preprocess(
    fromPreset,
    z.strictObject({
      default: choice(['deny', 'allow']).default('deny').meta({
        description: '`deny`: a rule that is true allows. `allow`: a rule that is true denies.',
      }),
      rules: z.array(rule).max(maxRules).default([]).meta({
        form: 'list',
        description: 'In their order: the first that is true decides. One that fails denies.',
      }),
    }),
  )
  .meta({ form: `${presetNames.map(name => `\`${name}\``).join(', ')} or keys` })

/** Of some names only. */
export function policyOf(names: string) {
  return policy.optional().meta({
    ...policy.meta(),
    fallback: 'all that `access.policy` allows',
    description: `As \`access.policy\`, for ${names}: what that policy allows, this one has to allow too.`,
  })
}

export type PolicyEntry = z.output<typeof policy>

export function policyOptions(entry: PolicyEntry): PolicyOptions {
  return { default: entry.default, rules: entry.rules.map(({ name, when }) => ({ name, when })) }
}

function fromPreset(given: unknown, context: z.RefinementCtx): unknown {
  if (typeof given !== 'string') return given
  const name = presetNames.find(known => known === given)
  if (name) return presets[name]
  const message = `expected ${presetNames.join(' or ')}, or the keys default and rules`
  context.addIssue({ code: 'custom', message, input: given })
  return z.NEVER
}

function checked(expression: string, context: z.RefinementCtx<string>): string {
  try {
    return parseExpression(expression).text
  } catch (error) {
    if (!(error instanceof ExpressionInvalid)) throw error
    context.addIssue({ code: 'custom', message: error.message, input: expression })
    return z.NEVER
  }
}

/** Of one line: it stands in log lines. */
function parseRuleName(given: string): string {
  if (given.length <= maxNameLength && given.trim() !== '' && !/\p{Cc}/u.test(given)) return given
  throw new FormInvalid(`a name of one line, of at most ${maxNameLength} characters`)
}
