/** Clients that push, move, delete and read one tag through whichever replica they like, and write down what they see. */
import { digestOf } from '../../src/oci/digest.ts'
import type { History } from './linearizable.ts'

export interface RegisterClients {
  readonly urls: readonly string[]
  readonly repository: string
  readonly tag: string
  readonly history: History
  /** Clients end what they do then. */
  readonly signal: AbortSignal
  readonly count: number
  readonly seed: number
}

const ociIndex = 'application/vnd.oci.image.index.v1+json'
const giveUpMs = 20_000

/** Resolves when every client has ended, with how many requests were answered as wanted. */
export async function runClients(given: RegisterClients): Promise<number> {
  const counts = await Promise.all(Array.from({ length: given.count }, (_, nth) => client(given, nth)))
  return counts.reduce((sum, count) => sum + count, 0)
}

async function client(given: RegisterClients, nth: number): Promise<number> {
  const { urls, repository, tag, history, signal, seed } = given
  const dice = diceOf(seed * 1000 + nth)
  let answered = 0
  for (let step = 0; !signal.aborted; step += 1) {
    const url = `${urls[dice(urls.length)]}/v2/${repository}/manifests/${tag}`
    const choice = dice(10)
    const calledAt = history.call()
    if (choice < 7) answered += await read(url, calledAt, history)
    else if (choice < 9)
      answered += await put(url, uniqueManifest(`${seed}.${nth}.${step}`), calledAt, history)
    else answered += await remove(url, calledAt, history)
  }
  return answered
}

async function read(url: string, calledAt: number, history: History): Promise<number> {
  const answer = await ask(url, 'GET')
  if (answer?.status === 200) history.record('read', digestOf(answer.body), calledAt)
  else if (answer?.status === 404) history.record('read', undefined, calledAt)
  else return 0
  return 1
}

async function put(url: string, body: Buffer, calledAt: number, history: History): Promise<number> {
  const answer = await ask(url, 'PUT', body)
  if (answer?.status === 201) history.record('write', digestOf(body), calledAt)
  else history.recordUnknown(digestOf(body), calledAt)
  return answer?.status === 201 ? 1 : 0
}

/** What is not there cannot be deleted: that is seen as by a reader. */
async function remove(url: string, calledAt: number, history: History): Promise<number> {
  const answer = await ask(url, 'DELETE')
  if (answer?.status === 202) history.record('write', undefined, calledAt)
  else if (answer?.status === 404) history.record('read', undefined, calledAt)
  else history.recordUnknown(undefined, calledAt)
  return answer && answer.status < 500 ? 1 : 0
}

/** Undefined: nobody knows what became of it. */
async function ask(
  url: string,
  method: string,
  body?: Buffer,
): Promise<{ status: number; body: Buffer } | undefined> {
  try {
    const answer = await fetch(url, {
      method,
      headers: body ? { 'content-type': ociIndex } : {},
      body: body ? new Uint8Array(body) : null,
      signal: AbortSignal.timeout(giveUpMs),
    })
    return { status: answer.status, body: Buffer.from(await answer.arrayBuffer()) }
  } catch {
    return undefined
  }
}

function uniqueManifest(value: string): Buffer {
  const annotations = { 'test.value': value }
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests: [], annotations }))
}

function diceOf(seed: number): (sides: number) => number {
  let state = (seed + 1) >>> 0
  return sides => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * sides)
  }
}
