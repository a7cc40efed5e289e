/** The hash of a growing file, here and in the hashing thread. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readlinkSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import { SharedFile } from '../../../src/store/files/file.ts'
import { type HashOptions, openHash } from '../../../src/stream/growing-hash.ts'
import { HashThread } from '../../../src/stream/hash-thread.ts'
import { tempDir } from '../../support/temp-dir.ts'

const mib = 1024 * 1024

async function growing() {
  const dir = await tempDir()
  const path = dir.join('growing')
  const file = await SharedFile.open(path, 'wx+')
  let written = 0
  let held = true
  const release = () => {
    if (held) file.release()
    held = false
  }
  return {
    file,
    path,
    async write(bytes: Buffer) {
      await file.write([bytes], written)
      written += bytes.length
      return written
    },
    release,
    async [Symbol.asyncDispose]() {
      release()
      await dir[Symbol.asyncDispose]()
    },
  }
}

/** One that ends as soon as it has nothing to do, so that no test leaves one behind. */
function briefThread() {
  const thread = new HashThread({ idleMs: 0 })
  onTestFinished(() => vi.waitFor(() => expect(thread.running).toBe(false), { timeout: 5_000 }))
  return thread
}

const isOpen = (file: SharedFile, path: string) => {
  try {
    return readlinkSync(`/proc/self/fd/${file.fd}`) === path
  } catch {
    return false
  }
}

type Sizes = readonly number[]
const beginnings: [string, Partial<HashOptions>, Sizes][] = [
  ['short', { expected: 100 }, [0, 60, 40]],
  ['empty', { expected: 0 }, [0]],
  ['long', { expected: 5 * mib }, [1, 3 * mib + 5, 2 * mib - 6]],
  ['of an unknown length that stays short', {}, [10, 20]],
  ['of an unknown length that gets long', {}, [mib, 1, 3 * mib, 7]],
  ['announced short that gets long', { expected: 5 }, [5, 2 * mib, 2 * mib]],
]

describe.each(['sha256', 'sha512'] as const)('%s of a file', algorithm => {
  test.each(
    beginnings.flatMap(([name, options, sizes]) =>
      [true, false].map(threaded => [name, threaded, options, sizes] as const),
    ),
  )('%s is that of all its bytes (with a thread: %s)', async (_, threaded, options, sizes) => {
    await using at = await growing()
    const thread = threaded ? briefThread() : undefined
    using hash = openHash(algorithm, { file: at.file, from: 0, expected: undefined, ...options }, thread)
    const parts = sizes.map(size => randomBytes(size))
    for (const part of parts) {
      hash.update([part])
      hash.written(await at.write(part))
    }
    expect(await hash.digest()).toBe(digestOf(Buffer.concat(parts), algorithm))
  })

  test('that was begun earlier covers its beginning too', async () => {
    await using at = await growing()
    const [before, after] = [randomBytes(2 * mib + 1), randomBytes(10)]
    const from = await at.write(before)
    using hash = openHash(algorithm, { file: at.file, from, expected: undefined }, briefThread())
    hash.update([after])
    hash.written(await at.write(after))
    expect(await hash.digest()).toBe(digestOf(Buffer.concat([before, after]), algorithm))
  })
})

test('a short body starts no thread, a long one does', async () => {
  await using at = await growing()
  const thread = briefThread()
  using short = openHash('sha256', { file: at.file, from: 0, expected: undefined }, thread)
  short.update([randomBytes(mib)])
  expect(thread.running).toBe(false)
  short.update([randomBytes(1)])
  expect(thread.running).toBe(true)
})

describe('the hashing thread', () => {
  test('follows many files at once', async () => {
    const thread = briefThread()
    await Promise.all(
      Array.from({ length: 40 }, async (_, at) => {
        await using growth = await growing()
        const followed = thread.follow('sha256', growth.file)
        const parts = Array.from({ length: 4 }, () => randomBytes(at * 10_000))
        for (const part of parts) followed.written(await growth.write(part))
        expect(`sha256:${await followed.digest()}`).toBe(digestOf(Buffer.concat(parts)))
      }),
    )
  })

  test('keeps no short file waiting behind a long one', async () => {
    const thread = briefThread()
    await using long = await growing()
    await using short = await growing()
    const order: string[] = []
    const first = thread.follow('sha512', long.file)
    const second = thread.follow('sha512', short.file)
    const sizes = [await long.write(Buffer.alloc(64 * mib)), await short.write(Buffer.alloc(10))] as const
    first.written(sizes[0])
    second.written(sizes[1]) // at once: the long one may not have ended before
    await Promise.all([
      first.digest().then(() => order.push('long')),
      second.digest().then(() => order.push('short')),
    ])
    expect(order).toEqual(['short', 'long'])
  })

  test('says so when a file is shorter than announced, and goes on with the others', async () => {
    const thread = briefThread()
    await using short = await growing()
    await using sound = await growing()
    const broken = thread.follow('sha256', short.file)
    const followed = thread.follow('sha256', sound.file)
    broken.written(10)
    followed.written(await sound.write(Buffer.from('sound')))
    await expect(broken.digest()).rejects.toThrow('the file ended at 0 of 10 bytes')
    expect(`sha256:${await followed.digest()}`).toBe(digestOf(Buffer.from('sound')))
  })

  test('says so when a file shrinks while it is followed', async () => {
    await using at = await growing()
    const followed = briefThread().follow('sha256', at.file)
    followed.written(await at.write(Buffer.alloc(2 * mib)))
    await at.file.truncate(mib)
    followed.written(8 * mib)
    await expect(followed.digest()).rejects.toThrow('the file ended at')
  })

  test('holds a file open until it is done with it, also one that is given up mid-way', async () => {
    const thread = briefThread()
    await using at = await growing()
    const followed = thread.follow('sha256', at.file)
    followed.written(await at.write(Buffer.alloc(32 * mib)))
    const digest = followed.digest()
    followed.close()
    followed.close()
    at.release()
    expect(isOpen(at.file, at.path)).toBe(true)
    await expect(digest).rejects.toThrow('given up')
    await vi.waitFor(() => expect(isOpen(at.file, at.path)).toBe(false), { timeout: 5_000 })
  })

  test('ends when there is nothing to do, and is there again when there is', async () => {
    const thread = briefThread()
    for (const text of ['a', 'b']) {
      await using at = await growing()
      const followed = thread.follow('sha256', at.file)
      followed.written(await at.write(Buffer.from(text)))
      expect(`sha256:${await followed.digest()}`).toBe(digestOf(Buffer.from(text)))
      await vi.waitFor(() => expect(thread.running).toBe(false), { timeout: 5_000 })
    }
  })

  test.each([
    ['no process alive that nobody waits in', 'void hash', 'begun'],
    [
      'one alive that waits for a digest',
      "process.stdout.write(' ' + await hash.digest())",
      /^begun sha512:/,
    ],
    ['none alive that gave up', 'hash.digest().catch(() => {}); hash[Symbol.dispose]()', 'begun'],
  ])('keeps %s', async (_, then, output) => {
    const { href: root } = new URL('../../../src/', import.meta.url)
    await using dir = await tempDir()
    await writeFile(dir.join('file'), Buffer.alloc(16 * mib))
    const program = `
      import { SharedFile } from '${root}store/files/file.ts'
      import { openHash } from '${root}stream/growing-hash.ts'
      const file = await SharedFile.open('${dir.join('file')}', 'r')
      const hash = openHash('sha512', { file, from: await file.size(), expected: undefined })
      process.stdout.write('begun')
      ${then}`
    await writeFile(dir.join('program.ts'), program)
    const { stdout } = await promisify(execFile)(process.execPath, [dir.join('program.ts')])
    expect(stdout).toMatch(output)
  })
})
