/** What a webhook says: `{"result": true}` or `{"result": {"allow": true, "reason": "…"}}`, as the Open Policy Agent does. */
import type { Readable } from 'node:stream'
import { z } from 'zod'
import { wholeOf } from '../stream/whole.ts'
import { allowed, type Verdict } from './question.ts'

const maxAnswerBytes = 64 * 1024
const maxReasonLength = 200

/** There was none, or none that can be understood. Its message is for the log. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
}

/** A result that is not there is OPA's way of saying that no rule applies. */
const answer = z.object({
  result: z
    .union([z.boolean(), z.object({ allow: z.boolean().optional(), reason: z.string().optional() })])
    .optional(),
})

/** @throws NoAnswer for whatever is none, and what the connection throws */
export async function readVerdict(status: number, body: Readable): Promise<Verdict> {
  if (status !== 200) {
    body.on('error', () => {}).destroy()
    throw new NoAnswer(`it answered ${status}`)
  }
  const { data } = answer.safeParse(parse(await textOf(body)))
  if (!data) throw new NoAnswer('its answer has no `result` that is true, false or an object with `allow`')
  return verdictOf(data.result)
}

function verdictOf(result: z.output<typeof answer>['result']): Verdict {
  const { allow = false, reason = '' } = typeof result === 'object' ? result : { allow: result }
  if (allow) return allowed
  const said = reason.replaceAll(/\p{C}+/gu, ' ').slice(0, maxReasonLength)
  return { allowed: false, reason: `the webhook denies it${said === '' ? '' : `: ${said}`}` }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new NoAnswer('its answer is no JSON')
  }
}

async function textOf(body: AsyncIterable<Buffer>): Promise<string> {
  const whole = await wholeOf(body, maxAnswerBytes)
  if (!whole) throw new NoAnswer(`its answer is larger than ${maxAnswerBytes} bytes`)
  return whole.toString('utf8')
}
