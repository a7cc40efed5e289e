/** What must hold of local repositories whatever was cut off: what was answered is there, and nothing is half there. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { Agent } from 'node:http'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { expect } from 'vitest'
import { digestOf } from '../../../src/oci/digest.ts'
import type { Site } from './crash-client.ts'
import type { Ledger, Name, Step, Value } from './crash-ledger.ts'
import { type Sending, type Sent, send } from './crash-send.ts'

interface Checked {
  readonly site: Site
  readonly names: readonly Name[]
  /** Of the registry as it is now. */
  readonly url: string
  readonly isAnswered?: (step: Step) => boolean
}

/** Every name has a value that the answers allow, and listings say the same as single requests. */
export async function checkNames({ site, names, url, isAnswered }: Checked): Promise<Map<Name, Value>> {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 })
  const ask: Ask = (path, sending) => send(`${url}/v2/${path}`, { ...sending, agent })
  try {
    const found = new Map(
      await Promise.all(names.map(async name => [name, await lookUp(name, ask)] as const)),
    )
    for (const [name, value] of found) {
      const possible = site.ledger.possible(name, isAnswered)
      expect([...possible], `${name}, by what was answered`).toContain(value)
      if (possible.size > 1) site.halfDone.add(name)
    }
    await checkTags(found, site, ask)
    await checkReferrers(found, site, ask)
    return found
  } finally {
    agent.destroy()
  }
}

/** @param path below `/v2/` */
type Ask = (path: string, sending?: Sending) => Promise<Sent>

async function lookUp(name: Name, ask: Ask): Promise<Value> {
  const [kind = '', repository = '', reference = ''] = name.split(' ')
  const path = `${repository}/${kind === 'blob' ? 'blobs' : 'manifests'}/${reference}`
  const head = await ask(path, { method: 'HEAD' })
  const got = await ask(path)
  expect(head.status, `HEAD and GET of ${name}`).toBe(got.status)
  if (got.status === 404) return 'absent'
  expect(got.status, `${name}: ${got.body.toString().slice(0, 500)}`).toBe(200)
  expect(Number(head.headers['content-length']), `HEAD of ${name}`).toBe(got.body.length)
  const digest = digestOf(got.body)
  expect(got.headers['docker-content-digest'], name).toBe(digest)
  if (kind === 'tag') return digest
  expect(digest, `bytes of ${name}`).toBe(reference)
  return 'held'
}

async function checkTags(found: ReadonlyMap<Name, Value>, { ledger, repositories }: Site, ask: Ask) {
  for (const repository of repositories) {
    const { status, body } = await ask(`${repository}/tags/list`)
    const listed = status === 404 ? [] : (parsed(status, body) as { tags: string[] }).tags
    for (const [name, value] of found) {
      const [kind, at, tag = ''] = name.split(' ')
      if (kind !== 'tag' || at !== repository) continue
      expect(listed.includes(tag), `${name}, which is ${value}, in tags/list`).toBe(value !== 'absent')
    }
    for (const tag of listed) expect(ledger.names()).toContain(`tag ${repository} ${tag}`)
  }
}

/** What a crash left half pushed or half deleted may miss in the listing, until somebody tries again. */
async function checkReferrers(found: ReadonlyMap<Name, Value>, { subjects, halfDone }: Site, ask: Ask) {
  for (const [name, value] of found) {
    const subject = subjects.get(name)
    if (subject === undefined) continue
    const [, repository = '', digest] = name.split(' ')
    const { status, body } = await ask(`${repository}/referrers/${subject}`)
    const { manifests } = parsed(status, body) as { manifests: { digest: string }[] }
    const isListed = manifests.some(manifest => manifest.digest === digest)
    if (!isListed && halfDone.has(name)) continue
    expect(isListed, `${name}, which is ${value}, among its subject's referrers`).toBe(value === 'held')
  }
}

function parsed(status: Sent['status'], body: Buffer): unknown {
  expect(status, body.toString()).toBe(200)
  return JSON.parse(body.toString())
}

/** Every file of pushed content has the digest that its name says, and every record is whole. */
export async function auditPushed(store: string): Promise<void> {
  for (const path of await filesUnder(join(store, 'pushed'))) {
    const hash = createHash(basename(dirname(dirname(path))))
    await pipeline(createReadStream(path), hash)
    expect(hash.digest('hex'), `digest of ${path}`).toBe(basename(path))
  }
  for (const path of await filesUnder(join(store, 'names', '_local')))
    expect(JSON.parse(await readFile(path, 'utf8')), path).toHaveProperty('v', 1)
}

/** Names below a folder of the store, for what should be empty. */
export async function leftIn(store: string, folder: 'trash' | 'uploads' | 'partial'): Promise<string[]> {
  return (await filesUnder(join(store, folder))).map(path => path.slice(store.length + 1))
}

/** What is known of the names from here on is what was found. */
export function settle(ledger: Ledger, found: ReadonlyMap<Name, Value>): void {
  for (const [name, value] of found) ledger.settle(name, value)
}

async function filesUnder(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    return entries.filter(entry => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [] // nothing was ever put there
    throw error
  }
}
