/** Whether clients that are sent to the bucket get their bytes there, as far as that can be told from here. */
import { randomUUID } from 'node:crypto'
import { Agent } from 'undici'
import type { Objects } from '../../store/objects.ts'
import { connectionTo } from '../../store/s3/handler.ts'
import type { S3Options } from '../../store/s3/options.ts'
import { wholeOf } from '../../stream/whole.ts'

/** `wrong`: whoever asks there gets something else; `unknown`: it is not reached from here, where no client is. */
export interface CheckedLinks {
  readonly outcome: 'right' | 'wrong' | 'unknown'
  /** One line for a person. */
  readonly line: string
}

const content = Buffer.from('probe')

/** Writes an object, reads it as a client would, and deletes it. Rejects with ObjectsFailure. */
export async function checkLinks(
  objects: Objects,
  options: Pick<S3Options, 'ca' | 'timeouts'>,
): Promise<CheckedLinks> {
  const key = `probe/${randomUUID()}`
  await objects.put(key, content)
  try {
    const address = await objects.link(key)
    if (address === undefined)
      return {
        outcome: 'unknown',
        line: 'redirects were not tried: the credentials end within a minute, and clients get no addresses',
      }
    return await tryLink(new URL(address), options)
  } finally {
    await objects.remove(key)
  }
}

async function tryLink(
  { origin, pathname, search }: URL,
  options: Pick<S3Options, 'ca' | 'timeouts'>,
): Promise<CheckedLinks> {
  const agent = new Agent({ connect: connectionTo(options) })
  try {
    const { statusCode, body } = await agent.request({
      origin,
      path: `${pathname}${search}`,
      method: 'GET',
      signal: AbortSignal.timeout(options.timeouts.requestMs),
    })
    const found = await wholeOf(body, content.length)
    if (statusCode === 200 && found?.equals(content))
      return { outcome: 'right', line: `redirects: ${origin} gives an object to who has its address` }
    return {
      outcome: 'wrong',
      line: `redirects: ${origin} answers ${statusCode} and not the object to who has its address: check store.s3.redirect.endpoint; its host is part of the signature`,
    }
  } catch (error) {
    return {
      outcome: 'unknown',
      line: `redirects: ${origin} cannot be reached from here (${reasonOf(error)}): whether clients reach it is not known`,
    }
  } finally {
    await agent.destroy()
  }
}

/** Nothing of the address, which is a key. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if ('code' in error && typeof error.code === 'string') return error.code
  return error.name
}
