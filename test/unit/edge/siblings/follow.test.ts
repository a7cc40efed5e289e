/** What a primary says of a growing file, however it comes in. */
import { writeFile } from 'node:fs/promises'
import { PassThrough } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { Follow } from '../../../../src/edge/siblings/follow.ts'
import { SharedFile } from '../../../../src/store/files/file.ts'
import { isSettled } from '../../../support/is-settled.ts'
import { tempDir } from '../../../support/temp-dir.ts'
import { readUntilBroken } from '../../pull/flight-rig.ts'

async function following(content: string, first = 0) {
  const dir = await tempDir()
  const path = dir.join('file')
  await writeFile(path, content)
  const reply = new PassThrough()
  const follow = new Follow(await SharedFile.open(path, 'r'), reply, first)
  return {
    reply,
    follow,
    async [Symbol.asyncDispose]() {
      follow.close()
      await dir[Symbol.asyncDispose]()
    },
  }
}

async function textOf(follow: Follow) {
  const { got, error } = await readUntilBroken(follow)
  return { text: got.toString(), error }
}

describe('what the primary says', () => {
  const said = '3\n10\n+4\n\n+1\n+1\n!+3\nxyz'

  test.each([1, 2, 3, 5, 100])('is understood in pieces of %i bytes', async size => {
    await using at = await following('0123456789 and what nobody may see')
    for (let from = 0; from < said.length; from += size) at.reply.write(said.slice(from, from + size))
    at.reply.end()
    expect(await textOf(at.follow)).toEqual({ text: '0123456789\n+1\n!xyz', error: undefined })
  })

  test('about the end of it comes behind all that may be read', async () => {
    await using at = await following('0123456789')
    at.reply.write('5\n+2\nab!the disk is gone\n')
    at.reply.once('close', () => {})
    const reading = textOf(at.follow)
    await new Promise(setImmediate)
    at.reply.destroy(new Error('aborted'))
    const { text, error } = await reading
    expect(text).toBe('01234ab')
    expect(error).toMatchObject({ code: 'UNAVAILABLE', cause: { message: 'the disk is gone' } })
  })
})

test('nothing beyond the mark is read, however much the file has', async () => {
  await using at = await following('0123456789', 2)
  const target = Buffer.alloc(10)
  const reading = at.follow.read(target, 2)
  expect(await isSettled(reading)).toBe(false)
  at.reply.write('4\n')
  expect(Buffer.concat(await reading).toString()).toBe('23')
  expect(await isSettled(at.follow.read(target, 4))).toBe(false)
})

test('who closes waits no longer, and says so to the primary', async () => {
  await using at = await following('')
  const reading = at.follow.read(Buffer.alloc(1), 0)
  at.follow.close()
  await expect(reading).rejects.toThrow('the reader has left')
  expect(at.reply.destroyed).toBe(true)
})
