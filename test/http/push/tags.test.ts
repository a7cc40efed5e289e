/** Several tags in one push (distribution-spec, end-7b), and tags that must not move. */
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { image, type StoredManifest } from '../../fake/content.ts'
import { name, type PushScene, pushScene } from './scene.ts'

const app = image('app').root
const next = image('next').root
const manifestAt = (reference: string) => `/v2/${name}/manifests/${reference}`

const query = (tags: readonly string[]) => tags.map(tag => `tag=${encodeURIComponent(tag)}`).join('&')

/** What each tag points at; undefined where there is none. */
async function digestsOf(at: PushScene, tags: readonly string[]): Promise<unknown[]> {
  const answers = await Promise.all(tags.map(tag => at.ask(manifestAt(tag), { method: 'HEAD' })))
  return answers.map(({ status, headers }) => (status === 200 ? headers['docker-content-digest'] : undefined))
}

async function listed(at: PushScene): Promise<unknown> {
  const { status, body } = await at.ask(`/v2/${name}/tags/list`)
  return status === 200 ? (JSON.parse(body.toString()) as { tags: string[] }).tags : []
}

describe('?tag=', () => {
  const tags = ['latest', '1', '1.2', '1.2.3', 'a', 'b', 'c', 'd', 'e', 'f', '_g', 'H']

  test.each([
    'sha256',
    'sha512',
  ] as const)('beside a %s digest sets every tag, and OCI-Tag names them', async algorithm => {
    await using at = await pushScene()
    const manifest = image('tagged', { algorithm }).root
    const answer = await at.put(manifest, `${manifest.digest}?${query(tags)}`)
    expect([answer.status, answer.headers.location]).toEqual([201, manifestAt(manifest.digest)])
    expect(answer.headers['docker-content-digest']).toBe(manifest.digest)
    expect(answer.headers['oci-tag']?.toString().split(', ').toSorted()).toEqual([...tags].sort())
    expect(await digestsOf(at, tags)).toEqual(tags.map(() => manifest.digest))
    expect(await listed(at)).toEqual([...tags].sort())
  })

  test('moves tags that are elsewhere, and leaves the others', async () => {
    await using at = await pushScene()
    await at.put(app, `${app.digest}?${query(['a', 'b', 'c'])}`)
    expect((await at.put(next, `${next.digest}?${query(['b', 'd', 'b'])}`)).status).toBe(201)
    expect(await digestsOf(at, ['a', 'b', 'c', 'd'])).toEqual([
      app.digest,
      next.digest,
      app.digest,
      next.digest,
    ])
  })

  test.each([
    '.hidden',
    'a'.repeat(129),
    'a b',
    'a/b',
    '',
    'a,b',
  ])('with "%s", which is no tag, is 400, and nothing is set', async bad => {
    await using at = await pushScene()
    const answer = await at.put(app, `${app.digest}?${query(['a', bad, 'b'])}`)
    expect(at.failure(answer)).toEqual([400, 'MANIFEST_INVALID'])
    expect(await digestsOf(at, ['a', 'b', app.digest])).toEqual([undefined, undefined, undefined])
  })

  test('too often is 414, and nothing is set', async () => {
    await using at = await pushScene()
    const many = Array.from({ length: 500 }, (_, number) => `v${number}`)
    const answer = await at.put(app, `${app.digest}?${query(many)}`)
    expect(at.failure(answer)).toEqual([414, 'MANIFEST_INVALID'])
    expect(await digestsOf(at, ['v0', app.digest])).toEqual([undefined, undefined])
  })

  test('beside a tag is 400, and sets neither', async () => {
    await using at = await pushScene()
    expect(at.failure(await at.put(app, 'a?tag=b'))).toEqual([400, 'MANIFEST_INVALID'])
    expect(await digestsOf(at, ['a', 'b'])).toEqual([undefined, undefined])
  })

  test('of a manifest whose digest is not that of the path sets nothing', async () => {
    await using at = await pushScene()
    expect(at.failure(await at.put(app, `${next.digest}?tag=a`))).toEqual([400, 'DIGEST_INVALID'])
    expect(await digestsOf(at, ['a', next.digest, app.digest])).toEqual([undefined, undefined, undefined])
  })
})

describe('an immutable tag', () => {
  const local = [{ name: 'local', match: 'local/**', immutableTags: ['v*', 'release'] }]

  async function released() {
    const at = await pushScene({ local })
    expect((await at.put(app, 'v1')).status).toBe(201)
    return at
  }

  async function expectKept(at: PushScene, tag = 'v1', manifest: StoredManifest = app): Promise<void> {
    expect(await digestsOf(at, [tag, manifest.digest])).toEqual([manifest.digest, manifest.digest])
    expect((await at.ask(manifestAt(tag))).body.equals(manifest.body)).toBe(true)
  }

  test('is 201 again with the same digest', async () => {
    await using at = await released()
    expect((await at.put(app, 'v1')).status).toBe(201)
    expect((await at.put(app, `${app.digest}?${query(['v1', 'v2', 'free'])}`)).status).toBe(201)
    await expectKept(at)
    expect(await digestsOf(at, ['v2', 'free'])).toEqual([app.digest, app.digest])
  })

  test('is 409 TAG_IMMUTABLE with another digest, however it is pushed, also after a restart', async () => {
    await using at = await released()
    const long = digestOf(app.body, 'sha512')
    for (const again of [false, true]) {
      if (again) await at.layover.restart()
      expect(at.failure(await at.put(next, 'v1'))).toEqual([409, 'TAG_IMMUTABLE'])
      expect(at.failure(await at.put(next, `${next.digest}?tag=v1`))).toEqual([409, 'TAG_IMMUTABLE'])
      expect(at.failure(await at.put(app, `${long}?tag=v1`))).toEqual([409, 'TAG_IMMUTABLE'])
      await expectKept(at)
      expect(await digestsOf(at, [next.digest])).toEqual([undefined])
    }
  })

  test('among several refuses the whole push: 409, nothing applied', async () => {
    await using at = await released()
    await at.put(app, 'free')
    const answer = await at.put(next, `${next.digest}?${query(['new', 'free', 'v1', 'v9'])}`)
    expect(at.failure(answer)).toEqual([409, 'TAG_IMMUTABLE'])
    expect(await digestsOf(at, ['new', 'v9', next.digest, 'free'])).toEqual([
      undefined,
      undefined,
      undefined,
      app.digest,
    ])
    await expectKept(at)
  })

  test('is not deleted: 409, and its manifest neither', async () => {
    await using at = await released()
    await at.put(app, 'free')
    for (const reference of ['v1', app.digest]) {
      const answer = await at.ask(manifestAt(reference), { method: 'DELETE' })
      expect(at.failure(answer)).toEqual([409, 'TAG_IMMUTABLE'])
      await expectKept(at)
    }
    expect(await listed(at)).toEqual(['free', 'v1'])
    expect((await at.ask(manifestAt('free'), { method: 'DELETE' })).status).toBe(202)
    await expectKept(at)
  })

  test('is one that the patterns match, and no other', async () => {
    await using at = await released()
    for (const tag of ['version', 'v', 'release']) expect((await at.put(app, tag)).status).toBe(201)
    for (const tag of ['version', 'v', 'release'])
      expect(at.failure(await at.put(next, tag))).toEqual([409, 'TAG_IMMUTABLE'])
    for (const tag of ['1v', 'V1', 'releases', 'latest']) {
      expect((await at.put(app, tag)).status).toBe(201)
      expect((await at.put(next, tag)).status).toBe(201)
      expect((await at.ask(manifestAt(tag), { method: 'DELETE' })).status).toBe(202)
    }
    const unknown = await at.ask(manifestAt('v-never-was'), { method: 'DELETE' })
    expect([404, 409]).toContain(unknown.status)
  })

  test('that many set at once goes to one of them, and to no other', async () => {
    await using at = await pushScene({ local })
    const images = Array.from({ length: 8 }, (_, number) => image(`racer ${number}`).root)
    for (const tag of ['v1', 'v2', 'release']) {
      const answers = await Promise.all(
        images.map((manifest, number) =>
          at.put(manifest, number % 2 === 0 ? tag : `${manifest.digest}?${query([tag, `x${number}`])}`),
        ),
      )
      const winners = images.filter((_, number) => answers[number]?.status === 201)
      expect(winners).toHaveLength(1)
      expect(answers.filter(({ status }) => status === 409)).toHaveLength(7)
      expect(await digestsOf(at, [tag])).toEqual([winners[0]?.digest])
    }
  })
})
