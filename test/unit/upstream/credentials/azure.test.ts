/** Who we are in Entra ID, and the refresh token that a registry of Azure gives for it. */
import { writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { acrCredentials } from '../../../../src/upstream/credentials/acr.ts'
import { planted } from '../../../fake/cloud.ts'
import { tempDir } from '../../../support/temp-dir.ts'
import { refusalOf, type Stage, stage } from './support.ts'

const options = { clientId: undefined, tenant: undefined }
const user = '00000000-0000-0000-0000-000000000000'
const identity = { AZURE_CLIENT_ID: 'client-1', AZURE_TENANT_ID: 'tenant-1' }
const endpoints = ({ url }: Stage) => ({
  AZURE_AUTHORITY_HOST: `${url}/`,
  AZURE_POD_IDENTITY_AUTHORITY_HOST: url,
})

test('workload identity: the file of the federated token is read at each renewal', async () => {
  await using scene = await stage()
  await using dir = await tempDir()
  await writeFile(dir.join('token'), scene.cloud.webIdentity)
  const env = { ...endpoints(scene), ...identity, AZURE_FEDERATED_TOKEN_FILE: dir.join('token') }
  const provider = acrCredentials(new URL(scene.url), options, scene.deps(env))
  expect(await provider.get('a')).toEqual({ kind: 'basic', username: user, password: scene.cloud.given[0] })
  expect(scene.asked()).toEqual(['POST /tenant-1/oauth2/v2.0/token', 'POST /oauth2/exchange'])
  expect(new URLSearchParams(scene.requests()[1]?.body).get('service')).toBe(scene.host)
  scene.cloud.webIdentity = `${planted}-web-identity-2`
  await writeFile(dir.join('token'), scene.cloud.webIdentity)
  scene.clock.advance(3 * 3_600_000)
  expect(await provider.get('a')).toMatchObject({ password: scene.cloud.given[1] })
})

test('a client secret of the environment', async () => {
  await using scene = await stage()
  const env = { ...endpoints(scene), AZURE_CLIENT_SECRET: scene.cloud.clientSecret }
  const named = { clientId: 'client-1', tenant: 'tenant-1' }
  const provider = acrCredentials(new URL(scene.url), named, scene.deps(env))
  expect(await provider.get('a')).toMatchObject({ password: scene.cloud.given[0] })
})

test.each([[undefined], ['client-2']])('the managed identity of the machine: %s', async clientId => {
  await using scene = await stage()
  const provider = acrCredentials(new URL(scene.url), { ...options, clientId }, scene.deps(endpoints(scene)))
  expect(await provider.get('a')).toMatchObject({ password: scene.cloud.given[0] })
  expect(scene.asked()).toEqual(['GET /metadata/identity/oauth2/token', 'POST /oauth2/exchange'])
  expect(scene.requests()[0]?.query.get('client_id')).toBe(clientId ?? null)
})

test("a registry that takes the resource manager's tokens only gets one of these", async () => {
  await using scene = await stage()
  scene.cloud.audiences = ['https://management.azure.com']
  const provider = acrCredentials(new URL(scene.url), options, scene.deps(endpoints(scene)))
  expect(await provider.get('a')).toMatchObject({ password: scene.cloud.given[0] })
  expect(scene.requests().map(({ query }) => query.get('resource'))).toEqual([
    'https://containerregistry.azure.net',
    null,
    'https://management.azure.com',
    null,
  ])
})

test('an identity that is refused is told by the code, without secrets', async () => {
  await using scene = await stage()
  const env = { ...endpoints(scene), ...identity, AZURE_CLIENT_SECRET: `${planted}-wrong` }
  const provider = acrCredentials(new URL(scene.url), options, scene.deps(env))
  expect(await refusalOf(provider.get('a'))).toBe(`${scene.host} answered 401 (invalid_client)`)
})

test('a registry that refuses the exchange is told', async () => {
  await using scene = await stage()
  scene.cloud.audiences = []
  const provider = acrCredentials(new URL(scene.url), options, scene.deps(endpoints(scene)))
  expect(await refusalOf(provider.get('a'))).toBe(`${scene.host} answered 401`)
})
