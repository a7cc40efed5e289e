/** Reading bodies that are small by their nature, with a cap on bytes and on time. */
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { wholeOf } from '../../stream/whole.ts'
import { failureOf, type Subject, translate } from '../transport/failure.ts'
import { discard, type HttpAnswer, headerOf } from '../transport/transport.ts'

const gunzipCapped = promisify(gunzip)

/** A body that only trickles is given up after this, however lively it looks to the idle time-out. */
const maxReadMs = 5 * 60_000

/** Somebody waits for the error that the text explains. */
const maxPeekMs = 2_000

export interface Limits {
  maxBytes: number
  signal: AbortSignal | undefined
}

/** The whole body, decoded where the upstream compressed it although asked not to. */
export async function readBody(answer: HttpAnswer, subject: Subject, limits: Limits): Promise<Buffer> {
  const { maxBytes } = limits
  const encoding = headerOf(answer, 'content-encoding') ?? 'identity'
  const body = await readRaw(answer, subject, limits)
  if (encoding === 'identity' || encoding === '') return body
  const { upstream, text } = subject
  try {
    if (encoding === 'gzip' || encoding === 'x-gzip')
      return await gunzipCapped(body, { maxOutputLength: maxBytes })
  } catch (cause) {
    if (cause instanceof RangeError) throw tooLarge(subject, maxBytes)
    throw failureOf(subject, 'corrupt', `${upstream} sent broken gzip for ${text}`, { cause })
  }
  throw failureOf(subject, 'corrupt', `${upstream} sent content-encoding ${encoding} for ${text}`)
}

async function readRaw(answer: HttpAnswer, subject: Subject, { maxBytes, signal }: Limits): Promise<Buffer> {
  const { body, url } = answer
  const announced = Number(headerOf(answer, 'content-length') ?? 0)
  if (announced > maxBytes) {
    discard(answer)
    throw tooLarge(subject, maxBytes)
  }
  const slow = setTimeout(() => body.destroy(trickle(subject)), maxReadMs).unref()
  try {
    const whole = await wholeOf(body, maxBytes)
    if (!whole) throw tooLarge(subject, maxBytes)
    return whole
  } catch (error) {
    if (signal?.aborted) throw signal.reason
    throw translate(error, subject, { host: url.host, phase: 'body' })
  } finally {
    clearTimeout(slow)
  }
}

/** Some text of a failed answer, to learn a reason from; never an error of its own. */
export async function peekText(answer: HttpAnswer): Promise<string> {
  const limit = 4 * 1024
  let text = ''
  const slow = setTimeout(() => answer.body.destroy(), maxPeekMs).unref()
  try {
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      text += chunk.toString('utf8')
      if (text.length >= limit) break
    }
  } catch {
    // what came is enough
  } finally {
    clearTimeout(slow)
  }
  return text.slice(0, limit)
}

function tooLarge(subject: Subject, maxBytes: number) {
  const { upstream, text } = subject
  return failureOf(subject, 'too-large', `${upstream}'s answer to ${text} is larger than ${maxBytes} bytes`)
}

function trickle(subject: Subject) {
  const { upstream, text } = subject
  return failureOf(
    subject,
    'timeout',
    `${upstream} did not finish its answer to ${text} in ${maxReadMs / 1000} s`,
  )
}
