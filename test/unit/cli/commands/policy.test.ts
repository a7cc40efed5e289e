/** `layover policy test`: what it makes of its options, and what it prints. */
import { writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import type { PolicyOptions } from '../../../../src/access/options.ts'
import { runPolicy, testPolicy } from '../../../../src/cli/commands/policy.ts'
import { parsePolicyArgs } from '../../../../src/cli/commands/policy-args.ts'
import type { WithPolicies } from '../../../../src/cli/policy-set.ts'
import { assemble } from '../../../../src/config/assemble.ts'
import { configSchema } from '../../../../src/config/schema.ts'
import { tempDir } from '../../../support/temp-dir.ts'

const config = assemble(
  configSchema.parse({
    hosts: ['registry.corp.test'],
    upstreams: [
      { registry: 'docker.io', policy: { default: 'allow', rules: ['tag == "latest"'] } },
      { registry: 'ghcr.io', aliases: ['mirror.test'] },
    ],
    local: [
      {
        match: 'team/**',
        policy: {
          rules: [
            { name: 'CI pushes its own', when: 'repository.startsWith("team/" + claims.project + "/")' },
            'user == "alice" &&\n  action != "delete"',
          ],
        },
      },
    ],
  }),
  path => path,
)

const global: PolicyOptions = {
  default: 'deny',
  rules: [
    { name: 'whoever has logged in', when: 'authenticated' },
    { name: undefined, when: 'action == "pull" && client.inside("10.0.0.0/8")' },
  ],
}

function sink() {
  const texts: string[] = []
  return { write: (text: string) => texts.push(text), said: () => texts.join('') }
}

const withPolicy: WithPolicies['access'] = { policy: global, webhook: undefined }

function run(line: string, { access }: Pick<WithPolicies, 'access'> = { access: withPolicy }) {
  const question = parsePolicyArgs(['test', ...line.split(' ').filter(Boolean)])
  if (typeof question === 'string') return { code: 2, err: question, out: '' }
  const [out, err] = [sink(), sink()]
  const code = testPolicy({ ...config, access }, question, out, err)
  return { code, out: out.said(), err: err.said() }
}

describe('layover policy test', () => {
  test('tells every policy, every rule, and the decision', () => {
    expect(run('--client 10.1.2.3 alpine:3.20')).toEqual({
      code: 0,
      err: '',
      out: `anonymous from 10.1.2.3: pull docker.io/library/alpine:3.20, a manifest, upstream docker.io

access.policy, by default deny: allows
  false  "whoever has logged in": authenticated
→ true   action == "pull" && client.inside("10.0.0.0/8")

the policy of upstream docker.io, by default allow: allows
  false  tag == "latest"

Allowed.
`,
    })
    expect(run('--client 192.0.2.1 --tag latest mirror.test/a/b').out).toBe(
      `anonymous from 192.0.2.1: pull ghcr.io/a/b:latest, a manifest, upstream ghcr.io

access.policy, by default deny: denies
  false  "whoever has logged in": authenticated
  false  action == "pull" && client.inside("10.0.0.0/8")

Denied: no rule of access.policy allows it.
`,
    )
  })

  test('tells what fails, and what is not asked any more', () => {
    expect(run('--user bob --action push team/x/app:1')).toEqual({
      code: 1,
      err: '',
      out: `bob (password) from 127.0.0.1: push team/x/app:1, a manifest, namespace team

access.policy, by default deny: allows
→ true   "whoever has logged in": authenticated
  false  action == "pull" && client.inside("10.0.0.0/8")

the policy of namespace team, by default deny: denies
→ fails  "CI pushes its own": repository.startsWith("team/" + claims.project + "/")
           claims.project is not there: has(claims.project) tells
  false  user == "alice" && action != "delete"

Denied: the rule "CI pushes its own" of the policy of namespace team failed, which denies.
`,
    })
    expect(run('alpine:latest').out).toContain(
      'the policy of upstream docker.io, by default allow: not asked any more; denies',
    )
  })

  test.each<[string, number, string]>([
    [
      '--provider ci --claim project=x --action push team/x/app',
      0,
      'oidc from 127.0.0.1: push team/x/app, namespace team',
    ],
    [
      '--claim project=x --user job --provider ci --action push --object blob team/y/app',
      1,
      'ci:job (oidc) from 127.0.0.1: push team/y/app, a blob, namespace team',
    ],
    [
      '--ns docker.io --user alice library/alpine',
      0,
      'alice (password) from 127.0.0.1: pull docker.io/library/alpine, upstream docker.io',
    ],
    [
      '--ns registry.corp.test --user alice ghcr.io/a/b',
      0,
      'alice (password) from 127.0.0.1: pull ghcr.io/a/b, upstream ghcr.io',
    ],
    ['--certificate dns=node-1 --action metrics', 0, 'certificate from 127.0.0.1: metrics'],
    ['--method anonymous --user alice --action catalog', 1, 'alice (anonymous) from 127.0.0.1: catalog'],
  ])('%s', (line, code, first) => {
    const ran = run(line)
    expect([ran.code, ran.out.split('\n')[0]]).toEqual([code, first])
  })

  test('says that the webhook has not been asked', () => {
    const webhook = {
      url: 'http://opa.test/',
      token: undefined,
      timeoutMs: 1,
      allowMs: 1,
      denyMs: 1,
      ca: undefined,
    }
    expect(run('--user alice alpine', { access: { policy: global, webhook } }).out).toMatch(
      /Allowed\.\nThe webhook, which is asked next, may still deny it\.\n$/,
    )
  })

  test('says that there is no such user', () => {
    const access = { policy: global, webhook: undefined, users: [{ name: 'alice', hash: '' }] }
    expect(run('--user alice alpine', { access }).out).toMatch(/Allowed\.\n$/)
    const said = run('--user alcie alpine', { access }).out
    expect(said).toMatch(/Allowed\.\nBut there is no user alcie: nobody logs in as that\.\n$/)
  })

  test('says what holds while there are no policies', () => {
    expect(run('alpine', {})).toEqual({
      code: 2,
      out: '',
      err: 'layover: there are no policies: without `access` in the configuration everybody may pull, and only the machine itself push and delete\n',
    })
  })

  test.each([
    ['', 'say which image or repository: docker.io/library/alpine:3.20'],
    ['a b', 'unexpected argument b'],
    ['--action pul a', '--action is one of pull, push, delete, catalog, health, metrics: did you mean pull?'],
    ['--method basic a', '--method is one of anonymous, password, oidc, certificate'],
    [
      '--object manifests a',
      '--object is one of manifest, blob, upload, tags, referrers: did you mean manifest?',
    ],
    ['--client here a', '--client is an address such as 10.1.2.3'],
    ['--tag x --digest y a', '--tag and --digest exclude each other'],
    ['--claim x a', '--claim is name=value, such as repository=org/app'],
    ['--certificate san=x a', 'a certificate has commonNames, organizations, dns, emails, uris, and no san'],
    ['--nonsense a', "Unknown option '--nonsense'"],
  ])('refuses %s', (line, message) => {
    expect(parsePolicyArgs(['test', ...line.split(' ').filter(Boolean)])).toBe(message)
  })

  test('reads claims as JSON where they are', () => {
    const question = parsePolicyArgs(['test', '--claim', 'groups=["a","b"]', '--claim', 'project=a=b', 'x'])
    expect(question).toMatchObject({ caller: { claims: { groups: ['a', 'b'], project: 'a=b' } } })
  })

  test('has exit code 2 for mistakes of the command line, the configuration and the name', async () => {
    await using dir = await tempDir()
    const path = dir.join('upstreams.yaml')
    const code = async (...args: string[]) => {
      const err = sink()
      return [await runPolicy(args, sink(), err), err.said().replaceAll(path, 'FILE')]
    }
    expect(await code('tset')).toEqual([
      2,
      'layover: what there is of policies is `policy test`; `layover --help` tells what there is\n',
    ])
    await writeFile(path, 'upstreams: []\n')
    expect(await code('test', '-c', path, 'a/b')).toEqual([
      2,
      'FILE:1:12 upstreams: expected a list with a length of at least 1, found a list\n',
    ])
  })
})
