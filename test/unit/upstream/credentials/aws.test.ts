/** Who we are in AWS, and the password that ECR gives for it. */
import { writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { signed } from '../../../../src/upstream/credentials/aws-signature.ts'
import { ecrCredentials, serviceOf } from '../../../../src/upstream/credentials/ecr.ts'
import { planted } from '../../../fake/cloud.ts'
import { tempDir } from '../../../support/temp-dir.ts'
import { refusalOf, type Stage, stage } from './support.ts'

const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com'
const options = { region: undefined, roleArn: undefined }

/** The environment in which AWS's services are the stand-in. */
const endpoints = ({ url }: Stage) => ({
  AWS_ENDPOINT_URL_ECR: `${url}/ecr`,
  AWS_ENDPOINT_URL_ECR_PUBLIC: `${url}/ecr-public`,
  AWS_ENDPOINT_URL_STS: `${url}/sts`,
  AWS_EC2_METADATA_SERVICE_ENDPOINT: url,
})
const rootKeys = { AWS_ACCESS_KEY_ID: 'AKIAROOT', AWS_SECRET_ACCESS_KEY: `${planted}-root` }

describe('the identity', () => {
  test('is that of the environment', async () => {
    await using scene = await stage()
    const provider = ecrCredentials(host, options, scene.deps({ ...endpoints(scene), ...rootKeys }))
    expect(await provider.get('team/app')).toEqual({
      kind: 'basic',
      username: 'AWS',
      password: scene.cloud.given[0],
    })
    expect(scene.asked()).toEqual(['POST /ecr'])
    expect(scene.requests()[0]?.headers.authorization).toContain('/eu-central-1/ecr/aws4_request')
  })

  test('is that of a web identity (IRSA), whose file is read at each renewal', async () => {
    await using scene = await stage()
    await using dir = await tempDir()
    await writeFile(dir.join('token'), `${scene.cloud.webIdentity}\n`)
    const env = {
      ...endpoints(scene),
      AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/pull',
      AWS_WEB_IDENTITY_TOKEN_FILE: dir.join('token'),
    }
    const provider = ecrCredentials(host, options, scene.deps(env))
    expect(await provider.get('a')).toMatchObject({ password: scene.cloud.given[0] })
    expect(scene.asked()).toEqual(['POST /sts', 'POST /ecr'])
    expect(scene.requests()[0]?.query.size).toBe(0)
    const { version } = provider
    scene.cloud.webIdentity = `${planted}-web-identity-2`
    await writeFile(dir.join('token'), scene.cloud.webIdentity)
    scene.clock.advance(13 * 3_600_000)
    expect(await provider.get('a')).toMatchObject({ password: scene.cloud.given[1] })
    // Who we are is the same, so that nobody is a stranger to what was fetched before.
    expect(provider.version).toBe(version)
  })

  test('is that of a container (Pod Identity), whose token is a file', async () => {
    await using scene = await stage()
    await using dir = await tempDir()
    await writeFile(dir.join('token'), scene.cloud.podToken)
    const env = {
      ...endpoints(scene),
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${scene.url}/v1/credentials`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: dir.join('token'),
    }
    await ecrCredentials(host, options, scene.deps(env)).get('a')
    expect(scene.asked()).toEqual(['GET /v1/credentials', 'POST /ecr'])
  })

  test('is that of the instance (IMDSv2)', async () => {
    await using scene = await stage()
    await ecrCredentials(host, options, scene.deps(endpoints(scene))).get('a')
    expect(scene.asked()).toEqual([
      'PUT /latest/api/token',
      'GET /latest/meta-data/iam/security-credentials/',
      'GET /latest/meta-data/iam/security-credentials/pull-role',
      'POST /ecr',
    ])
  })

  test('assumes a role where one is configured', async () => {
    await using scene = await stage()
    const role = { ...options, roleArn: 'arn:aws:iam::210987654321:role/pull' }
    await ecrCredentials(host, role, scene.deps({ ...endpoints(scene), ...rootKeys })).get('a')
    expect(scene.asked()).toEqual(['POST /sts', 'POST /ecr'])
    expect(scene.requests()[0]?.body).toContain('Action=AssumeRole&')
    expect(scene.requests()[1]?.headers.authorization).toContain('Credential=ASIA')
  })

  test.each([
    [
      'no identity at all',
      { AWS_EC2_METADATA_DISABLED: 'true' },
      'the environment holds no identity of AWS, and AWS_EC2_METADATA_DISABLED keeps off the metadata of the instance',
    ],
    [
      'a container of somebody else',
      { AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://evil.test/' },
      'AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor an address of this machine or of ECS or EKS',
    ],
    [
      'a file that is not there',
      { AWS_ROLE_ARN: 'arn:aws:iam::1:role/a', AWS_WEB_IDENTITY_TOKEN_FILE: '/none/token' },
      'the web identity token (/none/token) cannot be read: ENOENT',
    ],
    [
      'keys that are wrong',
      { AWS_ACCESS_KEY_ID: 'AKIAROOT', AWS_SECRET_ACCESS_KEY: `${planted}-wrong` },
      'HOST answered 400 (InvalidSignatureException)',
    ],
  ])('that is none is told without secrets: %s', async (_, env, message) => {
    await using scene = await stage()
    const provider = ecrCredentials(host, options, scene.deps({ ...endpoints(scene), ...env }))
    expect(await refusalOf(provider.get('a'))).toBe(message.replace('HOST', scene.host))
  })

  test('of STS that is refused is told by its code, and nothing of its answer is quoted', async () => {
    await using scene = await stage()
    await using dir = await tempDir()
    await writeFile(dir.join('token'), `${planted}-another`)
    const env = {
      ...endpoints(scene),
      AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/pull',
      AWS_WEB_IDENTITY_TOKEN_FILE: dir.join('token'),
    }
    expect(await refusalOf(ecrCredentials(host, options, scene.deps(env)).get('a'))).toBe(
      `${scene.host} answered 403 (AccessDenied)`,
    )
  })
})

test('ECR Public gives its passwords in us-east-1, wherever we are', async () => {
  await using scene = await stage()
  const env = { ...endpoints(scene), ...rootKeys, AWS_REGION: 'eu-west-1' }
  const provider = ecrCredentials('public.ecr.aws', options, scene.deps(env))
  expect(await provider.get('nginx/nginx')).toMatchObject({ username: 'AWS', password: scene.cloud.given[0] })
  expect(scene.asked()).toEqual(['POST /ecr-public'])
  expect(scene.requests()[0]?.headers.authorization).toContain('/us-east-1/ecr-public/aws4_request')
})

test.each([
  [
    '123456789012.dkr.ecr.eu-central-1.amazonaws.com',
    'https://api.ecr.eu-central-1.amazonaws.com/',
    'amazonaws.com',
  ],
  [
    '123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com',
    'https://ecr-fips.us-gov-west-1.amazonaws.com/',
    'amazonaws.com',
  ],
  ['123456789012.dkr-ecr.us-west-2.on.aws', 'https://ecr.us-west-2.api.aws/', 'amazonaws.com'],
  ['123456789012.dkr-ecr-fips.us-west-2.on.aws', 'https://ecr-fips.us-west-2.api.aws/', 'amazonaws.com'],
  [
    '123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn',
    'https://api.ecr.cn-north-1.amazonaws.com.cn/',
    'amazonaws.com.cn',
  ],
  [
    '123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn',
    'https://ecr.cn-north-1.api.amazonwebservices.com.cn/',
    'amazonaws.com.cn',
  ],
  [
    '123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu',
    'https://api.ecr.eusc-de-east-1.amazonaws.eu/',
    'amazonaws.eu',
  ],
  ['public.ecr.aws', 'https://api.ecr-public.us-east-1.amazonaws.com/', 'amazonaws.com'],
])('the API of %s is at %s', async (name, url, domain) => {
  await using scene = await stage()
  const found = serviceOf(name, options, scene.deps({ AWS_REGION: 'cn-west-1' }))
  expect(found).toMatchObject({ url, domain })
})

test.each([
  'ecr.corp.example',
  '123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.test',
  '123456789012.dkr.ecr.eu-west-1.amazonaws.community',
  'evil-123456789012.dkr.ecr.eu-west-1.amazonaws.com',
])('%s gets no password because we are in a region, and one where it is written', async name => {
  await using scene = await stage()
  const deps = scene.deps({ ...endpoints(scene), ...rootKeys, AWS_REGION: 'cn-west-1' })
  expect(await refusalOf(ecrCredentials(name, options, deps).get('a'))).toBe(
    `${name} is no name of Amazon ECR: where its password is to go there all the same, write ecr: {region: …}`,
  )
  expect(scene.asked()).toEqual([])
  const url = 'https://api.ecr.cn-west-1.amazonaws.com.cn/'
  expect(serviceOf(name, { ...options, region: 'cn-west-1' }, scene.deps({}))).toMatchObject({ url })
})

test("a signature is that of AWS's published example", () => {
  // The suite of Signature Version 4: post-x-www-form-urlencoded.
  const { authorization } = signed(
    {
      url: new URL('https://example.amazonaws.com/'),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: 'Param1=value1',
      service: 'service',
      region: 'us-east-1',
    },
    {
      accessKeyId: 'AKIDEXAMPLE',
      secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
      sessionToken: undefined,
    },
    Date.UTC(2015, 7, 30, 12, 36, 0),
  )
  expect(authorization).toBe(
    'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a',
  )
})
