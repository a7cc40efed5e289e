/** Whose the bucket is: its format and its id lie in it, and the disk in front remembers the id. */
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { WholeFiles } from '../files/durable.ts'
import { ifThere } from '../files/system-error.ts'
import type { Layout } from '../layout.ts'
import { type Objects, ObjectsFailure } from '../objects.ts'

const key = 'format.json'
const newest = 1
const maxBytes = 4096

/**
 * Resolves with the id of the object store when that works, is of a format that this program knows, and is the one that
 * the disk was used with before, if any was.
 *
 * @throws ObjectsFailure
 */
export async function settleBucket(objects: Objects, layout: Layout): Promise<string> {
  await objects.probe()
  const { v, id } = await bucketFormat(objects)
  if (v !== newest) {
    const message = `${objects.name} has format ${JSON.stringify(v)}, this program knows ${newest}: use the program that wrote it`
    throw new ObjectsFailure('foreign', message)
  }
  const known = await ifThere(readFile(layout.bucket, 'utf8'))
  const before = known === undefined ? undefined : parse(known).id
  if (before === id) return String(id)
  if (before !== undefined) {
    const message = `${objects.name} is not the bucket that the store at ${layout.root} was used with: give each of them a path or a prefix of its own, or remove ${layout.bucket} if what the disk holds may be served from here too`
    throw new ObjectsFailure('foreign', message)
  }
  await new WholeFiles(layout).write(layout.bucket, `${JSON.stringify({ v: 1, id })}\n`, { durable: true })
  return String(id)
}

/** Of several replicas that come first together one makes it. */
async function bucketFormat(objects: Objects): Promise<{ v?: unknown; id?: unknown }> {
  const found = await objects.read(key, maxBytes)
  if (found) return parse(found.content.toString())
  const made = Buffer.from(`${JSON.stringify({ v: newest, id: randomUUID() })}\n`)
  await objects.put(key, made, 'absent')
  const there = await objects.read(key, maxBytes)
  return parse(there?.content.toString() ?? '')
}

function parse(text: string): { v?: unknown; id?: unknown } {
  try {
    return (JSON.parse(text) as { v?: unknown; id?: unknown } | null) ?? {}
  } catch {
    return {} // damaged: the caller says what to do
  }
}
