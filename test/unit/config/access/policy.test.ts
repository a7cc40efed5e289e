/** Policies as the configuration has them: what they come to, and their mistakes with their lines. */
import { writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { presets } from '../../../../src/access/policy/presets.ts'
import { webhook, webhookOptions } from '../../../../src/config/access/webhook-schema.ts'
import { assemble } from '../../../../src/config/assemble.ts'
import { effective } from '../../../../src/config/effective.ts'
import { loadConfig } from '../../../../src/config/load.ts'
import { ConfigError } from '../../../../src/config/problem.ts'
import { configSchema } from '../../../../src/config/schema.ts'
import { tempDir } from '../../../support/temp-dir.ts'

/** Those with policies. */
async function problemsOf(yaml: string): Promise<string[]> {
  await using dir = await tempDir()
  await writeFile(dir.join('upstreams.yaml'), yaml)
  const error: unknown = await loadConfig(dir.join('upstreams.yaml'), {}).catch((reason: unknown) => reason)
  if (!(error instanceof ConfigError)) throw new Error(`expected a ConfigError and not ${String(error)}`)
  return error.message
    .replaceAll(dir.join('upstreams.yaml:'), '')
    .split('\n')
    .filter(line => /^\d+:\d+ (?:upstreams|local)\[/.test(line))
}

/** Rules begin in line 6. */
const inUpstream = (rules: string) => `access: {}
upstreams:
  - registry: ghcr.io
    policy:
      default: deny
      ${rules}
`

describe('a mistake in a policy', () => {
  test.each<[string, string, string[]]>([
    [
      'an unknown variable',
      'rules:\n        - action == "pull"\n        - name: x\n          when: actoin == "push"',
      [
        '9:17 upstreams[0].policy.rules[1].when: unknown variable "actoin", did you mean action? (there are: action, authenticated, certificate, claims, client, digest, local, method, object, provider, reference, repository, tag, upstream, user), found "actoin == "push""',
      ],
    ],
    [
      'a wrong type in a rule of several lines',
      'rules:\n        - |\n          authenticated &&\n          tag > 3',
      [
        '7:11 upstreams[0].policy.rules[0]: no such overload: string > int in `tag > 3`, found | authenticated && tag > 3 ',
      ],
    ],
    [
      'a slip in a value',
      'rules: [\'action == "pul"\']',
      [
        '6:15 upstreams[0].policy.rules[0]: action is never "pul", did you mean pull? (there are: pull, push, delete, catalog, health, metrics) in `action == "pul"`, found \'action == "pul"\'',
      ],
    ],
    [
      'a rule that is none',
      'rules: [true, {name: x}]',
      [
        '6:15 upstreams[0].policy.rules[0]: expected keys (name, when), found true',
        '6:21 upstreams[0].policy.rules[1].when: expected CEL, found nothing',
      ],
    ],
    [
      'a name of several lines',
      'rules: [{when: "true", name: "a\\nb"}]',
      [
        '6:36 upstreams[0].policy.rules[0].name: expected a name of one line, of at most 100 characters, found "a\\nb"',
      ],
    ],
    [
      'an unknown key',
      'rule: []',
      ['6:7 upstreams[0].policy.rule: unknown key "rule", did you mean rules? (allowed: default, rules)'],
    ],
  ])('%s', async (_, rules, problems) => {
    expect(await problemsOf(inUpstream(rules))).toEqual(problems)
  })

  test('no preset of this name', async () => {
    const yaml =
      'access: {}\nupstreams: [{registry: ghcr.io}]\nlocal:\n  - match: a/**\n    policy: anonymous\n'
    expect(await problemsOf(yaml)).toEqual([
      '5:13 local[0].policy: expected anonymous-pull or authenticated, or the keys default and rules, found "anonymous"',
    ])
  })

  test('nobody can log in', async () => {
    const yaml =
      'upstreams:\n  - registry: ghcr.io\n    policy: authenticated\nlocal:\n  - match: a/**\n    policy: {}\n'
    const message =
      'expected a section `access` beside it: without one nobody logs in, and no policy is asked; `access: {policy: anonymous-pull}` is the least'
    expect(await problemsOf(yaml)).toEqual([
      `3:13 upstreams[0].policy: ${message}`,
      `6:13 local[0].policy: ${message}`,
    ])
  })
})

test('policies are those of upstreams by registry, and of namespaces by name', () => {
  const file = {
    upstreams: [{ registry: 'ghcr.io', policy: 'anonymous-pull' }, { registry: 'quay.io' }],
    local: [
      {
        match: 'a/**',
        policy: { default: 'allow', rules: ['tag == "latest"', { name: 'x', when: 'true' }] },
      },
      { match: 'b/**', name: 'other', policy: {} },
      { match: 'c/**' },
    ],
  }
  const config = assemble(configSchema.parse(file), path => path)
  expect(config.policies).toEqual({
    upstreams: { 'ghcr.io': presets['anonymous-pull'] },
    namespaces: {
      a: { default: 'allow', rules: [{ when: 'tag == "latest"' }, { name: 'x', when: 'true' }] },
      other: { default: 'deny', rules: [] },
    },
  })
  const shown = configSchema.parse(effective(config))
  expect(assemble(shown, path => path).policies).toEqual(config.policies)
})

test('a webhook', () => {
  const url = 'https://opa.test/v1/data/layover'
  expect(webhookOptions(webhook.parse({ url }))).toEqual({
    url,
    token: undefined,
    timeoutMs: 2_000,
    allowMs: 30_000,
    denyMs: 5_000,
    ca: undefined,
  })
  const refused = ['opa.test', 'ftp://opa.test/', 'https://user:pass@opa.test/', 'https://opa.test/?a=b']
  expect(refused.filter(each => webhook.safeParse({ url: each }).success)).toEqual([])
})
