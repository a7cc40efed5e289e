/** Many clients that push the same thing at once: every one is answered, and one consistent state is left. */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { auditPushed } from './crash-check.ts'
import { manifestOf, type PushScene, pushScene } from './crash-scene.ts'

const clients = Array.from({ length: 16 }, (_, number) => number)
const miB = 1024 * 1024

describe('sixteen clients at once', () => {
  test.each([
    ['small', 10_000],
    ['large', 3 * miB],
  ])('push one %s blob to one repository and to several, in every way there is', async (_name, size) => {
    await using scene = await pushScene()
    const content = Buffer.alloc(size, 'the same for all ')
    const digest = digestOf(content)
    const repositoryOf = (number: number) => (number % 2 === 0 ? 'local/one' : `local/many/${number}`)
    const ways = [
      (repository: string) => scene.post(repository, content),
      async (repository: string) => scene.close(await scene.start(repository), digest, content),
      async (repository: string) => {
        const location = await scene.start(repository)
        await scene.patch(location, content.subarray(0, size / 2))
        return scene.close(location, digest, content.subarray(size / 2))
      },
    ]
    const answers = await Promise.all(clients.map(async number => ways[number % 3]?.(repositoryOf(number))))
    expect(answers.map(answer => answer?.status)).toEqual(clients.map(() => 201))
    for (const number of clients) {
      const { status, body } = await scene.ask(`${repositoryOf(number)}/blobs/${digest}`)
      expect([status, body.equals(content)]).toEqual([200, true])
    }
    expect(await readdir(join(scene.storePath, 'pushed', 'sha256', digest.slice(7, 9)))).toEqual([
      digest.slice(7),
    ])
    await scene.untilNoScraps()
    await auditPushed(scene.storePath)
  })

  test('push one manifest under one tag', async () => {
    await using scene = await pushScene()
    const body = manifestOf('one')
    const answers = await Promise.all(clients.map(() => scene.putManifest('local/app', 'v1', body)))
    expect(answers.map(({ status }) => status)).toEqual(clients.map(() => 201))
    await expectOneState(scene, [body])
    await scene.untilNoScraps()
  })

  test('push different manifests under one tag', async () => {
    await using scene = await pushScene()
    const bodies = clients.map(number => manifestOf(`manifest ${number}`))
    const answers = await Promise.all(bodies.map(body => scene.putManifest('local/app', 'v1', body)))
    expect(answers.map(({ status }) => status)).toEqual(clients.map(() => 201))
    for (const body of bodies) {
      const { status } = await scene.ask(`local/app/manifests/${digestOf(body)}`)
      expect(status).toBe(200)
    }
    await expectOneState(scene, bodies)
    await scene.untilNoScraps()
  })

  test('move a tag and delete it, by its name and with its manifest', async () => {
    await using scene = await pushScene()
    const bodies = clients.map(number => manifestOf(`manifest ${number % 4}`))
    const act = (number: number) => {
      const body = bodies[number] ?? Buffer.alloc(0)
      if (number % 5 === 3) return scene.ask('local/app/manifests/v1', { method: 'DELETE' })
      if (number % 5 === 4) return scene.ask(`local/app/manifests/${digestOf(body)}`, { method: 'DELETE' })
      return scene.putManifest('local/app', 'v1', body)
    }
    for (let round = 0; round < 5; round += 1) {
      const answers = await Promise.all(clients.map(act))
      for (const { status, body } of answers) expect([201, 202, 404], body.toString()).toContain(status)
      await expectOneState(scene, bodies)
    }
    await scene.untilNoScraps()
  })

  test('push one manifest about one subject, and are listed once', async () => {
    await using scene = await pushScene()
    const subject = manifestOf('subject')
    const signature = manifestOf('signature', subject)
    const put = () => scene.putManifest('local/app', digestOf(signature), signature)
    const answers = await Promise.all(clients.map(put))
    expect(answers.map(({ status }) => status)).toEqual(clients.map(() => 201))
    const { body } = await scene.ask(`local/app/referrers/${digestOf(subject)}`)
    const { manifests } = JSON.parse(body.toString()) as { manifests: { digest: string }[] }
    expect(manifests.map(({ digest }) => digest)).toEqual([digestOf(signature)])
  })
})

/** The tag is what its listing, a restart and an index made anew say that it is. */
async function expectOneState(scene: PushScene, bodies: readonly Buffer[]): Promise<void> {
  const before = await tagOf(scene)
  if (before !== undefined) expect(bodies.map(body => digestOf(body))).toContain(before)
  await scene.layover.restart()
  expect(await tagOf(scene)).toBe(before)
  await scene.layover.stop()
  for (const suffix of ['', '-wal', '-shm'])
    await rm(join(scene.storePath, `index.sqlite${suffix}`), { force: true })
  await scene.layover.restart()
  expect(await tagOf(scene)).toBe(before)
}

async function tagOf({ ask }: PushScene): Promise<string | undefined> {
  const [tag, list] = [await ask('local/app/manifests/v1'), await ask('local/app/tags/list')]
  expect([200, 404]).toContain(tag.status)
  const { tags = [] } = (list.status === 404 ? {} : JSON.parse(list.body.toString())) as { tags?: string[] }
  if (tag.status === 404) {
    expect(tags).toEqual([])
    return undefined
  }
  expect(tags).toEqual(['v1'])
  const digest = digestOf(tag.body)
  expect((await ask(`local/app/manifests/${digest}`)).status, 'what the tag points at').toBe(200)
  return digest
}
