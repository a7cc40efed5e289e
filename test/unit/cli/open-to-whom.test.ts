/** What the log says at the start about who may do what. */
import { expect, test } from 'vitest'
import { openToWhom } from '../../../src/cli/open-to-whom.ts'
import { assemble } from '../../../src/config/assemble.ts'
import { configSchema } from '../../../src/config/schema.ts'
import { usersNamed } from '../../support/access.ts'

function said(configuration: object) {
  const whole = { upstreams: [{ registry: 'ghcr.io' }], local: [{ match: 'local/**' }], ...configuration }
  return openToWhom(assemble(configSchema.parse(whole), path => path))
}

const issuer = (name: string) => ({ name, issuer: `https://${name}.test`, audience: 'layover' })

test('without access this machine alone pushes, if anybody', () => {
  expect(said({}).message).toBe(
    'anyone who can connect may pull; only this machine may push to local names and delete',
  )
  expect(said({ local: [] }).message).toBe(
    'anyone who can connect may pull; nobody may push: no name is local',
  )
})

test('with it the ways in and who decides are named', () => {
  const messageOf = (access: object, more = {}) => said({ access, ...more }).message
  expect(messageOf({ users: usersNamed('alice') })).toBe(
    'people log in with passwords (1 user); policy: authenticated',
  )
  const webhook = { url: 'https://opa.test/allow' }
  const rules = ['action == "pull"', 'user == "alice"']
  const oidc = [issuer('gitlab'), issuer('github')]
  expect(messageOf({ users: usersNamed('alice', 'bob'), oidc, policy: { rules }, webhook })).toBe(
    'people log in with passwords (2 users), tokens of gitlab and github; policy: 2 rules, otherwise deny, and a webhook',
  )
  expect(messageOf({ policy: 'anonymous-pull' }, { local: [] })).toBe(
    'nobody can log in; policy: anonymous-pull; nobody may push: no name is local',
  )
})

test('what is shared, and who may see health and metrics, stands beside it', () => {
  const credentials = { username: 'robot', password: 'never shown' }
  const shared = { registry: 'quay.io', credentials, allow: ['team/**'], policy: { default: 'allow' } }
  const upstreams = [{ registry: 'ghcr.io' }, shared]
  const { fields } = said({ upstreams, access: { users: usersNamed('alice'), metrics: 'policy' } })
  expect(fields).toEqual({
    upstreams: ['ghcr.io', 'quay.io'],
    local: ['local/**'],
    shared: ['quay.io'],
    passthrough: [],
    furtherPolicies: ['quay.io'],
    challenge: 'bearer',
    health: 'everyone',
    metrics: 'policy',
  })
})
