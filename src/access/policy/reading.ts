/** What can be told of an expression by reading it: mistakes that its types do not show, and which variables it needs. */
import type { ASTNode } from '@marcbachmann/cel-js'
import { nearest } from '../../runtime/spelling.ts'
import { parseRange } from './ranges.ts'
import { type Variable, values, variableNames } from './vocabulary.ts'

/** Where and what. */
export interface Finding {
  readonly node: ASTNode
  readonly message: string
}

/** They run their last arguments once for each element. */
const loops = new Set(['all', 'exists', 'exists_one', 'map', 'filter'])

/** Characters of a pattern: the work of one is its length times that of the text, which a claim may make long. */
const maxPattern = 256

const pattern = /^[\w.*:@-]+(?:\/[\w.*:@-]+)*$/

/** The first mistake; undefined: none. */
export function mistakeIn(root: ASTNode): Finding | undefined {
  for (const { node, loop } of nodesOf(root)) {
    const message = node.op === 'rcall' ? callMistake(node.args, loop) : neverTrue(node)
    if (message !== undefined) return { node, message }
  }
  return undefined
}

export function variablesIn(root: ASTNode): ReadonlySet<Variable> {
  const named = new Set(nodesOf(root).flatMap(({ node }) => (node.op === 'id' ? [node.args] : [])))
  return new Set(variableNames.filter(name => named.has(name)))
}

interface Place {
  readonly node: ASTNode
  /** It is run for each element of a list. */
  readonly loop: boolean
}

/** With all that is in it. Its depth is limited by the parser. */
function nodesOf(node: ASTNode, loop = false): Place[] {
  const place = { node, loop }
  if (node.op === 'rcall') {
    const [name, receiver, given] = node.args
    const repeated = loop || loops.has(name)
    return [place, ...nodesOf(receiver, loop), ...given.flatMap(child => nodesOf(child, repeated))]
  }
  return [place, ...childrenOf(node).flatMap(child => nodesOf(child, loop))]
}

function childrenOf(node: Exclude<ASTNode, { op: 'rcall' }>): readonly ASTNode[] {
  if (node.op === 'value' || node.op === 'id') return []
  if (node.op === '.' || node.op === '.?') return [node.args[0]]
  if (node.op === '!_' || node.op === '-_') return [node.args]
  if (node.op === 'call') return node.args[1]
  return node.op === 'map' ? node.args.flat() : node.args
}

type Call = (ASTNode & { op: 'rcall' })['args']

function callMistake([name, , [first]]: Call, loop: boolean): string | undefined {
  if (name === 'matches')
    return 'has no regular expressions, some of which could stop the registry: expected like("team-*/**"), startsWith, endsWith or contains'
  if (loop && loops.has(name))
    return 'goes through one list for each element of another, which could take long: expected `in` for one of the two'
  if (name !== 'inside' && name !== 'like') return undefined
  const text = textOf(first)
  if (text === undefined)
    return `expected ${name} with a text in quotes; a pattern is not put together, but startsWith takes "local/" + user + "/"`
  if (name === 'inside')
    return parseRange(text) ? undefined : `expected an address range such as 10.0.0.0/8, found "${text}"`
  return text.length <= maxPattern && pattern.test(text) && !text.includes('***')
    ? undefined
    : `expected a pattern such as local/team/** or v1.*, found "${text}"`
}

/** A variable of few values is compared with another one. */
function neverTrue({ op, args }: ASTNode): string | undefined {
  if (op === '==' || op === '!=') {
    const [left, right] = args
    return strange(left, [right]) ?? strange(right, [left])
  }
  return op === 'in' && args[1].op === 'list' ? strange(args[0], args[1].args) : undefined
}

function strange(variable: ASTNode, compared: readonly ASTNode[]): string | undefined {
  if (variable.op !== 'id') return undefined
  const known = values[variable.args as Variable]
  const text = compared.map(textOf).find(value => value !== undefined && !known?.includes(value))
  if (!known || text === undefined) return undefined
  const near = nearest(text, known)
  const advice = near === undefined || near === '' ? '' : `, did you mean ${near}?`
  return `${variable.args} is never "${text}"${advice} (there are: ${known.filter(name => name !== '').join(', ')})`
}

function textOf(node: ASTNode | undefined): string | undefined {
  return node?.op === 'value' && typeof node.args === 'string' ? node.args : undefined
}
