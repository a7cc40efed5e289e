/** A store and the processes that own it: one at a time, however each of them ends. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openLayout } from '../../../src/store/open.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { giving, openRig, readAll, ScriptedSource } from '../../unit/pull/flight-rig.ts'
import { blob, blobDigest, blobSize } from './pattern.ts'

const program = new URL('./filler.ts', import.meta.url).pathname

/** Another process that owns the store; resolves when it has written so many blocks of the blob. */
async function owner(path: string, blocks: number): Promise<ChildProcess> {
  const child = spawn(process.execPath, [program, path, String(blocks)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [said] = await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(() => ['the owner ended early']),
  ])
  expect(String(said)).toBe('ready\n')
  return child
}

async function killed(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}

describe('a store that another process owns', () => {
  test('is refused with its name, and free as soon as that is killed', async () => {
    await using dir = await tempDir()
    const child = await owner(dir.path, 0)
    await expect(openLayout(dir.path)).rejects.toThrow(
      `the store at ${dir.path} is in use by process ${child.pid} on ${hostname()}`,
    )
    await killed(child)
    const { unlock } = await openLayout(dir.path)
    unlock()
  })
})

describe('a fill whose process is killed', () => {
  test('is gone on with from its synced bytes, hashed again, and becomes the right blob', async () => {
    await using dir = await tempDir()
    await killed(await owner(dir.path, 66))
    await using rig = await openRig({ at: dir.path })
    const content = blob()
    const source = new ScriptedSource('a', giving(content))
    const follower = rig.flights.follow(blobDigest(), source, { expectedSize: blobSize, unverified: false })
    expect((await readAll(follower)).equals(content)).toBe(true)
    const [resumedAt = 0] = source.positions
    expect(resumedAt).toBeGreaterThanOrEqual(64 * 1024 * 1024)
    expect(source.asked).toHaveLength(1)
    follower.close()
    await rig.deps.background.settled()
    expect(await rig.deps.store.size(blobDigest())).toBe(blobSize)
    expect(await rig.partials()).toEqual([])
  })

  test('before anything was synced begins anew', async () => {
    await using dir = await tempDir()
    await killed(await owner(dir.path, 3))
    expect(await readdir(join(dir.path, 'partial'))).toHaveLength(1)
    await using rig = await openRig({ at: dir.path })
    const content = blob()
    const source = new ScriptedSource('a', giving(content))
    const follower = rig.flights.follow(blobDigest(), source, { expectedSize: blobSize, unverified: false })
    expect((await readAll(follower)).equals(content)).toBe(true)
    expect(source.positions).toEqual([0])
    follower.close()
    await rig.deps.background.settled()
    expect((await stat(rig.deps.store.layout.cached(blobDigest()))).size).toBe(blobSize)
  })
})
