/** The index deleted or damaged, before a start and while it is used: nobody is told anything wrong, and it is soon whole again by itself. */
import {
  closeSync,
  existsSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, test, vi } from 'vitest'
import { Layout } from '../../../src/store/layout.ts'
import { artifact, image } from '../../fake/content.ts'
import { pushBundle } from '../../http/push-client.ts'
import { type Answered, layerOf, plain, type Scene, scene } from '../../http/scene.ts'

const app = image('app', { layers: [3_000] })
const pulled = image('pulled', { layers: [3_000] })
const signature = artifact('signature', { subject: app.root })
const tags = Array.from({ length: 40 }, (_, nth) => `v${nth + 10}`)

/** Two local repositories, one with referrers, and one of an upstream. */
async function world() {
  const at = await scene({ upstreams: net => [plain(net)] })
  at.net.plain.put('app', 'v1', pulled)
  await at.warm('/v2/app/manifests/v1', `/v2/app/blobs/${layerOf(pulled).digest}`)
  await pushBundle({ url: at.layover.url, name: 'local/app' }, app, ...tags)
  await pushBundle({ url: at.layover.url, name: 'local/app' }, signature)
  await pushBundle({ url: at.layover.url, name: 'local/other' }, app, 'first')
  const pushes: string[] = []
  return {
    ...at,
    layout: new Layout(at.layover.storePath),
    /** Found by everybody from its 201 on. */
    async push() {
      const tag = `pushed-${pushes.length + 10}`
      await pushBundle({ url: at.layover.url, name: 'local/app' }, app, tag)
      pushes.push(tag)
      const { status } = await at.ask(`/v2/local/app/manifests/${tag}`)
      expect(status).toBe(200)
    },
    /** Nobody is told anything wrong; lists may take a while. */
    async expectRight() {
      await expectPulls(at)
      const listed = [
        ['/v2/local/app/tags/list', { name: 'local/app', tags: [...pushes, ...tags] }],
        ['/v2/_catalog', { repositories: ['local/app', 'local/other', 'plain.example/app'] }],
      ] as const
      for (const [path, right] of listed) {
        const told = whole(await at.ask(path))
        if (told) expect(told).toEqual(right)
      }
      const referrers = whole(await at.ask(`/v2/local/app/referrers/${app.digest}`))
      if (referrers) expect(referrers.manifests).toMatchObject([{ digest: signature.digest }])
    },
  }
}

type World = Awaited<ReturnType<typeof world>>

/** Undefined while the index is being completed. */
function whole({ status, headers, body }: Answered): Record<string, unknown> | undefined {
  if (status !== 503) {
    expect(status).toBe(200)
    return JSON.parse(body.toString()) as Record<string, unknown>
  }
  expect(Number(headers['retry-after'])).toBeGreaterThan(0)
  return undefined
}

async function expectPulls(at: Scene) {
  const wanted = [
    ['app/manifests/v1', pulled.root.body],
    [`app/manifests/${pulled.digest}`, pulled.root.body],
    ['local/app/manifests/v10', app.root.body],
    [`local/other/manifests/${app.digest}`, app.root.body],
  ] as const
  for (const [path, right] of wanted) {
    const { status, body } = await at.ask(`/v2/${path}`)
    expect([path, status, body.equals(right)]).toEqual([path, 200, true])
  }
  for (const path of [`app/blobs/${layerOf(pulled).digest}`, `local/app/blobs/${layerOf(app).digest}`])
    expect([path, (await at.ask(`/v2/${path}`)).body.length]).toEqual([path, 3_000])
  for (const path of ['local/app/manifests/none', 'local/none/manifests/v1', 'local/none/tags/list'])
    expect([path, (await at.ask(`/v2/${path}`)).status]).toEqual([path, 404])
}

const damages: Record<string, (path: string) => void> = {
  deleted: path => {
    for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true })
  },
  'replaced by something else': path => {
    renameSync(path, `${path}.away`)
    writeFileSync(path, 'no database, '.repeat(1000))
  },
  'garbled behind its first page': path => {
    for (const file of [path, `${path}-wal`]) {
      if (existsSync(file)) overwrite(file, 4096)
    }
  },
  'cut in half': path => truncateSync(path, Math.floor(statSync(path).size / 8192) * 4096),
}

describe.each(Object.entries(damages))('an index that was %s', (_how, damage) => {
  test('before the start', async () => {
    await using at = await world()
    await at.layover.stop()
    damage(at.layout.index)
    await at.layover.restart()
    await at.expectRight()
    await at.push()
    await at.expectRight()
    await untilComplete(at)
    await at.expectRight()
    expectUnasked(at)
  })

  test('while it is used', async () => {
    await using at = await world()
    damage(at.layout.index)
    for (let times = 0; times < 3; times += 1) {
      await at.expectRight()
      await at.push()
    }
    await at.expectRight()
    await untilComplete(at)
    await at.expectRight()
    expectUnasked(at)
  })
})

test('an index that was lost is complete before anybody asks', async () => {
  await using at = await world()
  await at.layover.stop()
  rmSync(at.layout.index)
  await at.layover.restart()
  await untilComplete(at)
  expect(at.layover.lines.findLast(isCompletion)).toMatchObject({ repositories: 3, tags: 42, manifests: 4 })
  using index = new DatabaseSync(at.layout.index, { readOnly: true })
  const marks = index.prepare("SELECT count(*) AS count FROM entry WHERE scope LIKE 'complete%'").get()
  expect(marks?.count).toBeGreaterThan(6)
})

test('an index that was closed is not made again', async () => {
  await using at = await world()
  await at.ask('/v2/_catalog')
  await at.layover.restart()
  const before = at.layover.lines.filter(isCompletion).length
  at.clock.advance(60_000)
  await at.expectRight()
  expect(at.layover.lines.filter(isCompletion)).toHaveLength(before)
})

const isCompletion = ({ msg }: Record<string, unknown>) => msg === 'index completed from the records'

/** By itself: the catalog and lists are not asked for. */
async function untilComplete(at: World) {
  const before = at.layover.lines.filter(isCompletion).length
  await vi.waitFor(
    () => {
      at.clock.advance(1_000)
      expect(at.layover.lines.filter(isCompletion).length).toBeGreaterThan(before)
    },
    { timeout: 20_000 },
  )
  for (const path of ['/v2/_catalog', '/v2/local/app/tags/list'])
    expect((await at.ask(path)).status).toBe(200)
}

/** What was here did not have to be fetched again. */
function expectUnasked({ net }: World) {
  expect(net.requests({ method: 'GET', path: /blobs|manifests/ })).toEqual([])
}

function overwrite(path: string, offset: number) {
  const { size } = statSync(path)
  if (size <= offset) return
  const file = openSync(path, 'r+')
  writeSync(file, Buffer.alloc(size - offset, 0x5a), 0, size - offset, offset)
  closeSync(file)
}
