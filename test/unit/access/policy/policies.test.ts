/** Who may do what, as policies have it. */
import { array, assert, constantFrom, dictionary, jsonValue, property, record, string } from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { PolicyOptions } from '../../../../src/access/options.ts'
import { Policies, type PolicySet } from '../../../../src/access/policy/policies.ts'
import { presets } from '../../../../src/access/policy/presets.ts'
import type { Asked, Verdict } from '../../../../src/access/question.ts'
import { createLogger } from '../../../../src/observe/log.ts'
import { Quiet } from '../../../../src/observe/quiet.ts'
import { FakeClock } from '../../../fake/clock.ts'
import { runs } from '../../../support/runs.ts'
import { alice, asking, pipeline, type Some } from '../asked.ts'

const silent = createLogger('silent')
const open: PolicyOptions = { default: 'allow', rules: [] }

function policy(fallback: PolicyOptions['default'], ...rules: string[]): PolicyOptions {
  return { default: fallback, rules: rules.map(when => ({ name: undefined, when })) }
}

function policies(set: Partial<PolicySet>): Policies {
  return new Policies({ global: open, upstreams: {}, namespaces: {}, ...set }, silent)
}

const decide = (global: PolicyOptions, some?: Some) => policies({ global }).decide(asking(some))
const said = (verdict: Verdict) => (verdict.allowed ? 'allowed' : verdict.reason)

describe('a policy', () => {
  test.each<[string, PolicyOptions, string]>([
    ['denies by default', policy('deny'), 'no rule of access.policy allows it'],
    ['allows by default', policy('allow'), 'allowed'],
    ['allows by a rule', policy('deny', 'false', 'action == "pull"'), 'allowed'],
    [
      'denies by a rule',
      policy('allow', 'false', 'action == "pull"'),
      'the rule "action == "pull"" of access.policy denies it',
    ],
    ['allows what no rule denies', policy('allow', 'action == "push"'), 'allowed'],
    [
      'denies when a rule fails',
      policy('deny', 'claims.x == 1', 'true'),
      'the rule "claims.x == 1" of access.policy failed, which denies',
    ],
    [
      'denies when a rule fails, also where all else is allowed',
      policy('allow', 'claims.x == 1'),
      'the rule "claims.x == 1" of access.policy failed, which denies',
    ],
    ['has decided before the rule that fails', policy('deny', 'true', 'claims.x == 1'), 'allowed'],
  ])('%s', (_, options, expected) => {
    expect(said(decide(options))).toBe(expected)
  })

  test('denies for what is neither true nor false', () => {
    const caller = pipeline({ admin: 'yes' })
    expect(said(decide(policy('deny', 'claims.admin'), { caller }))).toContain('failed, which denies')
    expect(said(decide(policy('allow', 'claims.admin'), { caller }))).toContain('failed, which denies')
  })

  test.each<[keyof typeof presets, Asked['action'], boolean, boolean]>([
    ['anonymous-pull', 'pull', true, true],
    ['anonymous-pull', 'catalog', false, true],
    ['anonymous-pull', 'push', false, true],
    ['anonymous-pull', 'delete', false, true],
    ['anonymous-pull', 'metrics', false, true],
    ['authenticated', 'pull', false, true],
    ['authenticated', 'delete', false, true],
  ])('%s: %s', (preset, action, nobody, somebody) => {
    expect(decide(presets[preset], { action }).allowed).toBe(nobody)
    expect(decide(presets[preset], { action, caller: alice }).allowed).toBe(somebody)
  })
})

describe('several policies', () => {
  const set = policies({
    namespaces: { team: policy('deny', 'user == "alice"') },
    upstreams: { 'ghcr.io': policy('allow', 'tag == "latest"') },
  })

  test.each<[string, Some, string]>([
    ['of neither', {}, 'allowed'],
    ['of a namespace', { namespace: 'team' }, 'no rule of the policy of namespace team allows it'],
    ['of a namespace, allowed', { namespace: 'team', caller: alice }, 'allowed'],
    [
      'of an upstream',
      { upstream: 'ghcr.io', tag: 'latest' },
      'the rule "tag == "latest"" of the policy of upstream ghcr.io denies it',
    ],
    [
      'of both',
      { namespace: 'team', caller: alice, upstream: 'ghcr.io', tag: 'latest' },
      'the rule "tag == "latest"" of the policy of upstream ghcr.io denies it',
    ],
    ['of what only looks like a name', { namespace: 'constructor', upstream: '__proto__' }, 'allowed'],
  ])('%s', (_, some, expected) => {
    expect(said(set.decide(asking(some)))).toBe(expected)
  })

  test('none can allow what the one for all denies', () => {
    const strict = policies({
      global: policy('deny'),
      namespaces: { team: open },
      upstreams: { 'ghcr.io': open },
    })
    expect(strict.decide(asking({ namespace: 'team', upstream: 'ghcr.io' })).allowed).toBe(false)
  })

  test('tell whether they read of single objects', () => {
    const readsObjects = (...rules: string[]) =>
      policies({ upstreams: { a: policy('deny', ...rules) } }).readsObjects
    expect(readsObjects('action == "pull"', 'client.inside("10.0.0.0/8")')).toBe(false)
    expect(readsObjects('true', 'reference == "latest"')).toBe(true)
  })

  test('explain every rule of every policy, and which decided', () => {
    const explained = policies({
      global: {
        default: 'deny',
        rules: [
          { name: 'late', when: 'claims.x == 1 && false' },
          { name: 'fails', when: 'claims.y' },
          { name: 'all', when: 'true' },
        ],
      },
      upstreams: { 'docker.io': policy('allow', 'false') },
    }).explain(asking())
    expect(explained).toEqual({
      verdict: { allowed: false, reason: 'the rule "fails" of access.policy failed, which denies' },
      policies: [
        {
          name: 'access.policy',
          default: 'deny',
          verdict: { allowed: false, reason: 'the rule "fails" of access.policy failed, which denies' },
          rules: [
            { name: 'late', when: 'claims.x == 1 && false', outcome: { value: false }, decided: false },
            {
              name: 'fails',
              when: 'claims.y',
              outcome: { error: 'claims.y is not there: has(claims.y) tells' },
              decided: true,
            },
            { name: 'all', when: 'true', outcome: { value: true }, decided: false },
          ],
        },
        {
          name: 'the policy of upstream docker.io',
          default: 'allow',
          verdict: { allowed: true },
          rules: [{ name: undefined, when: 'false', outcome: { value: false }, decided: false }],
        },
      ],
    })
  })
})

test('a rule that fails is told of once a minute, without claims', () => {
  const lines: string[] = []
  const clock = new FakeClock()
  const set = { global: policy('deny', 'int(claims.x) == 1'), upstreams: {}, namespaces: {} }
  const tested = new Policies(
    set,
    createLogger('info', { write: line => lines.push(line) }),
    new Quiet(clock),
  )
  const ask = () => tested.decide(asking({ caller: pipeline({ x: 'hunter2' }) }))
  ask()
  ask()
  clock.advance(60_000)
  ask()
  expect(lines.map(line => JSON.parse(line) as unknown)).toMatchObject([
    {
      level: 'warn',
      policy: 'access.policy',
      rule: 'int(claims.x) == 1',
      failure: 'int conversion error in `int(claims.x)`',
    },
    { level: 'warn' },
  ])
  expect(lines.join('')).not.toContain('hunter2')
})

describe('whatever is asked', () => {
  const rules = constantFrom(
    'true',
    'false',
    'claims.a == claims.b',
    'claims.a',
    'claims.a.b.c > 3',
    '"x" in claims.a',
    'claims.a.exists(x, x == "y")',
    'has(claims.a) && has(claims.a.b)',
    'client.inside("10.0.0.0/8")',
    'size(claims.a) > 1 || claims.b',
    'certificate.dns.all(d, d.startsWith(user))',
    'repository.substring(3) == tag',
    'claims[user] == provider',
    'timestamp(claims.a).getHours(claims.b) > 1',
  )
  const name = constantFrom('a', 'b', 'c', 'constructor', '__proto__', 'toString')
  const questions = record({
    client: constantFrom('', '10.0.0.1', '::1', 'nonsense'),
    repository: string(),
    tag: string(),
    user: string(),
    claims: dictionary(name, jsonValue()),
  })
  const options = record({ default: constantFrom('allow', 'deny'), rules: array(rules, { maxLength: 4 }) })

  test('there is a decision, the explained one, and a failure before it is a denial', () => {
    const check = property(options, questions, (given, { user, claims, ...question }) => {
      const tested = policies({ global: policy(given.default, ...given.rules) })
      const asked = asking({ ...question, caller: { ...pipeline(claims), user } })
      const verdict = tested.decide(asked)
      const explained = tested.explain(asked)
      expect(explained.verdict).toEqual(verdict)
      const decisive = explained.policies[0]?.rules.find(({ decided }) => decided)
      const expected = decisive
        ? 'value' in decisive.outcome && given.default === 'deny'
        : given.default === 'allow'
      expect(verdict.allowed).toBe(expected)
    })
    assert(check, runs(500))
  })
})
