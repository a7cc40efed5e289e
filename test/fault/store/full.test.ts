/** A disk that is full, or may not be written: real ones of a few MiB, which only root can mount. */
import { execFileSync } from 'node:child_process'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { openLayout } from '../../../src/store/open.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { giving, openRig, readAll, ScriptedSource, someBlob } from '../../unit/pull/flight-rig.ts'

const mib = 1024 * 1024
const canMount = mountable()
const note = canMount ? '' : ' (skipped: mounting a small disk needs root)'

function mountable(): boolean {
  try {
    execFileSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'], { stdio: 'ignore' })
    return process.getuid?.() === 0
  } catch {
    return false
  }
}

/** A file system of its own with so many bytes. */
async function smallDisk(bytes: number) {
  const dir = await tempDir()
  const path = dir.join('disk')
  await mkdir(path)
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', path])
  return {
    path,
    remount: (options: string) => execFileSync('mount', ['-o', `remount,${options}`, path]),
    async [Symbol.asyncDispose]() {
      execFileSync('umount', ['--lazy', path])
      await dir[Symbol.asyncDispose]()
    },
  }
}

describe.skipIf(!canMount)(`a small disk${note}`, () => {
  test('that fills up in the middle of a blob fails no reader, and keeps nothing of it', async () => {
    await using disk = await smallDisk(8 * mib)
    await using rig = await openRig({ at: disk.path })
    const { content, digest } = someBlob(20 * mib)
    const source = new ScriptedSource('a', ...Array.from({ length: 6 }, () => giving(content)))
    const readers = Array.from({ length: 5 }, async () => {
      const follower = rig.flights.follow(digest, source, { expectedSize: undefined, unverified: false })
      const body = await readAll(follower)
      follower.close()
      return body.equals(content)
    })
    expect(await Promise.all(readers)).toEqual(readers.map(() => true))
    await rig.deps.background.settled()
    expect(await rig.holds(digest)).toBe(false)
    expect(await rig.partials()).toEqual([])
  })

  test('that is full from the start fails no reader, and takes blobs again once there is room', async () => {
    await using disk = await smallDisk(4 * mib)
    await using rig = await openRig({ at: disk.path })
    const filler = `${disk.path}/filler`
    await expect(writeFile(filler, Buffer.alloc(8 * mib))).rejects.toMatchObject({ code: 'ENOSPC' })
    const { content, digest } = someBlob(mib)
    const source = new ScriptedSource('a', giving(content), giving(content), giving(content))
    const pull = async () => {
      const follower = rig.flights.follow(digest, source, { expectedSize: undefined, unverified: false })
      const body = await readAll(follower)
      follower.close()
      await rig.deps.background.settled()
      return body
    }
    expect((await pull()).equals(content)).toBe(true)
    expect(await rig.holds(digest)).toBe(false)
    await rm(filler)
    expect((await pull()).equals(content)).toBe(true)
    expect(await rig.holds(digest)).toBe(true)
  })

  test('that is full leaves no scraps of records and manifests behind', async () => {
    await using disk = await smallDisk(mib)
    await using rig = await openRig({ at: disk.path })
    const { store } = rig.deps
    const { content, digest } = someBlob(2 * mib)
    await expect(store.put(digest, content)).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(await store.size(digest)).toBeUndefined()
    expect(await readdir(store.layout.trash)).toEqual([])
  })

  test('that is read-only is refused in words', async () => {
    await using disk = await smallDisk(mib)
    const { unlock } = await openLayout(disk.path)
    unlock()
    disk.remount('ro')
    await expect(openLayout(disk.path)).rejects.toThrow(
      `cannot use the store at ${disk.path}: it is not writable by this user`,
    )
  })

  test('that filled up since is opened all the same, so that deletes can make room', async () => {
    await using disk = await smallDisk(mib)
    const store = `${disk.path}/store`
    const { unlock } = await openLayout(store)
    unlock()
    await expect(writeFile(`${disk.path}/filler`, Buffer.alloc(2 * mib))).rejects.toThrow('ENOSPC')
    const again = await openLayout(store)
    await expect(openLayout(store)).rejects.toThrow('is in use by')
    again.unlock()
  })

  test('that is full is refused in words', async () => {
    await using disk = await smallDisk(mib)
    await expect(writeFile(`${disk.path}/filler`, Buffer.alloc(2 * mib))).rejects.toMatchObject({
      code: 'ENOSPC',
    })
    await expect(openLayout(disk.path)).rejects.toThrow(
      `cannot use the store at ${disk.path}: the disk is full`,
    )
  })
})
