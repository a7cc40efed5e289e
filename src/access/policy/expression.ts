/** One CEL expression, checked once and then asked often. */
import { EvaluationError, ParseError, TypeError as TypeMistake } from '@marcbachmann/cel-js'
import { nearest } from '../../runtime/spelling.ts'
import { mistakeIn, variablesIn } from './reading.ts'
import {
  certificateFields,
  environment,
  maxExpressionLength,
  type Values,
  type Variable,
  variableNames,
} from './vocabulary.ts'

type Place = Readonly<Record<'start' | 'end', number>>

/** Characters of an expression in a message. */
const maxExcerpt = 100

/** Its message is a sentence without an end: `unknown variable "actoin", did you mean action? (…)`. */
export class ExpressionInvalid extends Error {
  override readonly name = 'ExpressionInvalid'
}

export interface Expression {
  readonly text: string
  /** The variables that it reads. */
  readonly reads: ReadonlySet<Variable>
  /** Any value of CEL where it is of no certain type. Throws whatever goes wrong. */
  value(values: Values): unknown
}

/** @throws ExpressionInvalid for what can never be a rule */
export function parseExpression(text: string): Expression {
  if (text.length > maxExpressionLength)
    throw new ExpressionInvalid(`expected at most ${maxExpressionLength} characters, found ${text.length}`)
  const parsed = parse(text)
  const mistake = mistakeIn(parsed.ast)
  if (mistake) throw new ExpressionInvalid(`${mistake.message}${placeIn(text, mistake.node)}`)
  const { valid, type = '', error } = parsed.check()
  if (!valid) throw new ExpressionInvalid(describe(text, error))
  if (type !== 'bool' && type !== 'dyn')
    throw new ExpressionInvalid(`expected an expression that is true or false, and not of type ${type}`)
  return { text, reads: variablesIn(parsed.ast), value: parsed }
}

/** What failed and where, without any value: for logs. */
export function failureOf(error: unknown, { text }: Expression): string {
  if (!(error instanceof EvaluationError)) return error instanceof Error ? error.name : 'no reason given'
  const place = excerpt(text, error.node)
  if (error.code === 'no_such_key') return `${place} is not there: has(${place}) tells`
  return `${error.code.replaceAll('_', ' ')}${place && ` in \`${place}\``}`
}

function parse(text: string) {
  try {
    return environment.parse(text)
  } catch (error) {
    throw new ExpressionInvalid(describe(text, error))
  }
}

const unknownVariable = /^Unknown variable: (.+)$/
const unknownKey = /^No such key: (.+)$/

function describe(text: string, error: unknown): string {
  if (!(error instanceof ParseError || error instanceof TypeMistake)) return String(error)
  const { summary, code } = error
  if (code === 'reserved_identifier' && summary.endsWith(': namespace'))
    return 'namespace is a word that CEL reserves: the namespace of ours is `local`, as in the configuration'
  const variable = unknownVariable.exec(summary)?.[1]
  if (variable !== undefined) return `unknown variable "${variable}"${choice(variable, variableNames)}`
  const field = unknownKey.exec(summary)?.[1]
  if (field !== undefined) return `a certificate has no "${field}"${choice(field, certificateFields)}`
  return `${summary.charAt(0).toLowerCase()}${summary.slice(1)}${placeIn(text, error.node)}`
}

function choice(word: string, known: readonly string[]): string {
  const near = nearest(word, known)
  const advice = near === undefined ? '' : `, did you mean ${near}?`
  return `${advice} (there are: ${known.join(', ')})`
}

/** In a text of several lines the line of the configuration says little. */
function placeIn(text: string, node: Place | undefined): string {
  const place = excerpt(text, node)
  return place === '' ? '' : ` in \`${place}\``
}

function excerpt(text: string, node: Place | undefined): string {
  return text
    .slice(node?.start ?? 0, node?.end ?? 0)
    .replaceAll(/\s+/g, ' ')
    .slice(0, maxExcerpt)
}
