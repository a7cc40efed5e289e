/** The examples in docs/how-to/policies.md say what the page says of them. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { Policies } from '../../../../src/access/policy/policies.ts'
import { policy, policyOptions } from '../../../../src/config/access/policy-schema.ts'
import { webhook } from '../../../../src/config/access/webhook-schema.ts'
import { createLogger } from '../../../../src/observe/log.ts'
import { alice, asking, pipeline, type Some } from '../asked.ts'

interface Example {
  readonly access: { readonly policy?: unknown; readonly webhook?: unknown }
  readonly local?: readonly { readonly policy: unknown }[]
  readonly upstreams?: readonly { readonly registry: string; readonly policy: unknown }[]
}

const page = readFileSync('docs/how-to/policies.md', 'utf8')

/** Of the section with this title; '' for the top of the page. */
function exampleOf(title: string): Example {
  const sections = page.split(/^## /m)
  const section = title === '' ? sections[0] : sections.find(each => each.startsWith(title))
  const blocks = [...(section ?? '').matchAll(/```yaml\n(.*?)```/gs)].map(([, yaml = '']) => yaml)
  return parse(blocks.at(-1) ?? '') as Example
}

const read = (given: unknown) => policyOptions(policy.parse(given))

function policiesOf({ access, local = [], upstreams = [] }: Example): Policies {
  const set = {
    global: read(access.policy),
    namespaces: Object.fromEntries(local.map(each => ['local', read(each.policy)])),
    upstreams: Object.fromEntries(upstreams.map(each => [each.registry, read(each.policy)])),
  }
  return new Policies(set, createLogger('silent'))
}

const at = (repository: string, some: Some): Some => ({
  repository,
  namespace: 'local',
  upstream: '',
  ...some,
})
const gitlab = (claims: object) => ({ ...pipeline({ ref_protected: 'true', ...claims }), provider: 'gitlab' })
const push = 'push' as const
const remove = 'delete' as const

describe.each<[string, [Some, boolean][]]>([
  [
    '',
    [
      [{}, true],
      [{ action: push, caller: alice }, true],
      [{ action: remove, caller: alice }, false],
    ],
  ],
  [
    'Teams have',
    [
      [at('local/team-a/app', {}), true],
      [at('local/team-a/app', { action: push, caller: pipeline({ groups: ['x', 'team-a'] }) }), true],
      [at('local/team-ab/app', { action: push, caller: pipeline({ groups: ['team-a'] }) }), false],
      [at('local/team-a/app', { action: push, caller: alice }), false],
    ],
  ],
  [
    'A pipeline',
    [
      [at('local/org/app/image', { action: push, caller: gitlab({ project_path: 'org/app' }) }), true],
      [at('local/org/app2/image', { action: push, caller: gitlab({ project_path: 'org/app' }) }), false],
      [
        at('local/org/app/image', {
          action: push,
          caller: gitlab({ project_path: 'org/app', ref_protected: 'false' }),
        }),
        false,
      ],
      [at('local/org/app/image', { action: push, caller: alice }), false],
    ],
  ],
  [
    'Nodes read',
    [
      [{ client: '10.20.1.1' }, true],
      [{ client: '::ffff:10.20.1.1', action: push, caller: alice }, false],
      [{ client: '10.21.1.1' }, false],
      [{ client: '10.21.1.1', action: push, caller: alice }, true],
    ],
  ],
  [
    'Admins delete',
    [
      [{ action: push, caller: alice }, true],
      [{ action: remove, caller: alice }, false],
      [{ action: remove, caller: { ...alice, user: 'root' } }, true],
      [{ action: remove, caller: pipeline({ groups: ['registry-admins'] }) }, true],
      [{}, false],
    ],
  ],
  [
    'Nobody pulls',
    [
      [{ tag: 'latest', caller: alice }, false],
      [{ tag: '3.20', caller: alice }, true],
      [{ tag: 'latest', upstream: 'ghcr.io', caller: alice }, true],
    ],
  ],
])('%s', (title, questions) => {
  const policies = policiesOf(exampleOf(title))
  test.each(questions)('%j: %s', (some, expected) => {
    expect(policies.decide(asking(some)).allowed).toBe(expected)
  })
})

test('the webhook', () => {
  expect(webhook.parse(exampleOf('Let somebody').access.webhook)).toMatchObject({ timeout: 2_000 })
})
