/** Who we are in Google Cloud, and the user and password that its registries take for it. */
import { generateKeyPairSync } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { garCredentials } from '../../../../src/upstream/credentials/gar.ts'
import { planted } from '../../../fake/cloud.ts'
import { tempDir } from '../../../support/temp-dir.ts'
import { refusalOf, type Stage, stage } from './support.ts'

const { publicKey, privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
})

async function write(dir: { join(name: string): string }, file: object | string): Promise<string> {
  await writeFile(dir.join('google.json'), typeof file === 'string' ? file : JSON.stringify(file))
  return dir.join('google.json')
}

const serviceAccount = ({ url }: Stage) => ({
  type: 'service_account',
  client_email: 'pull@project.test',
  private_key: privateKey,
  private_key_id: 'key-1',
  token_uri: `${url}/google/token`,
})

const federation = ({ url }: Stage, more: object) => ({
  type: 'external_account',
  audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q',
  subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  token_url: `${url}/google/sts`,
  ...more,
})

test('the metadata server is asked, of the instance or the pod', async () => {
  await using scene = await stage()
  const provider = garCredentials({ file: undefined }, scene.deps({ GCE_METADATA_HOST: scene.host }))
  const credential = await provider.get('project/repository/app')
  expect(credential).toEqual({
    kind: 'basic',
    username: 'oauth2accesstoken',
    password: scene.cloud.given[0],
  })
  expect(scene.asked()).toEqual(['GET /computeMetadata/v1/instance/service-accounts/default/token'])
})

test("a service account's key signs for a token", async () => {
  await using scene = await stage()
  await using dir = await tempDir()
  scene.cloud.publicKey = publicKey
  const file = await write(dir, serviceAccount(scene))
  const provider = garCredentials({ file: undefined }, scene.deps({ GOOGLE_APPLICATION_CREDENTIALS: file }))
  expect(await provider.get('a')).toMatchObject({ password: scene.cloud.given[0] })
  expect(scene.asked()).toEqual(['POST /google/token'])
})

test('the file of the configuration wins over that of the environment', async () => {
  await using scene = await stage()
  await using dir = await tempDir()
  scene.cloud.publicKey = publicKey
  const file = await write(dir, serviceAccount(scene))
  const provider = garCredentials({ file }, scene.deps({ GOOGLE_APPLICATION_CREDENTIALS: '/none' }))
  expect(await provider.get('a')).toBeDefined()
})

test.each([
  ['as text', (secret: string) => secret, undefined],
  [
    'in JSON',
    (secret: string) => JSON.stringify({ id: secret }),
    { type: 'json', subject_token_field_name: 'id' },
  ],
])('the token of another cluster is exchanged, and a service account impersonated: %s', async (_, written, format) => {
  await using scene = await stage()
  await using dir = await tempDir()
  await writeFile(dir.join('subject'), written(scene.cloud.webIdentity))
  const file = await write(
    dir,
    federation(scene, {
      service_account_impersonation_url: `${scene.url}/google/impersonate`,
      credential_source: { file: dir.join('subject'), ...(format ? { format } : {}) },
    }),
  )
  const provider = garCredentials({ file }, scene.deps())
  expect(await provider.get('a')).toMatchObject({ password: scene.cloud.given[0] })
  expect(scene.asked()).toEqual(['POST /google/sts', 'POST /google/impersonate'])
})

test('without impersonation the exchanged token is the one', async () => {
  await using scene = await stage()
  await using dir = await tempDir()
  await writeFile(dir.join('subject'), scene.cloud.webIdentity)
  const file = await write(dir, federation(scene, { credential_source: { file: dir.join('subject') } }))
  expect(await garCredentials({ file }, scene.deps()).get('a')).toMatchObject({
    password: scene.cloud.given[0],
  })
})

test.each<[string, object | string, string]>([
  ['no JSON', `{"private_key": "${planted}`, 'FILE is no JSON'],
  [
    'of another type',
    { type: planted },
    'FILE is of a type that is not known here: expected service_account or external_account',
  ],
  [
    'with a key that is none',
    { type: 'service_account', client_email: 'a', private_key: `-----BEGIN PRIVATE KEY-----${planted}` },
    "the private_key of Google's credential file is none",
  ],
  ['without an issuer', { type: 'service_account', private_key: privateKey }, 'FILE gives no client_email'],
  [
    'with a subject from elsewhere',
    {
      type: 'external_account',
      audience: 'a',
      subject_token_type: 't',
      token_url: 'http://a.test',
      credential_source: { url: `http://${planted}.test` },
    },
    "Google's credential file takes its subject token from elsewhere than a file: use exec with Google's own provider",
  ],
])('a credential file %s is told without its content', async (_, content, message) => {
  await using scene = await stage()
  await using dir = await tempDir()
  const file = await write(dir, content)
  expect(await refusalOf(garCredentials({ file }, scene.deps()).get('a'))).toBe(message.replace('FILE', file))
})

test('a key that is refused is told by the code', async () => {
  await using scene = await stage()
  await using dir = await tempDir()
  const file = await write(dir, serviceAccount(scene))
  expect(await refusalOf(garCredentials({ file }, scene.deps()).get('a'))).toBe(
    `${scene.host} answered 400 (invalid_grant)`,
  )
})
