/** Requests as a server among several takes them: what is surely here it answers, everything else the primary does. */
import { NotKnown } from '../../index/known.ts'
import type { Logger } from '../../observe/log.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { Reads } from '../../pull/reads.ts'
import type { Resolver } from '../../resolve/resolve.ts'
import type { Answer } from '../answer.ts'
import { type Exchange, isReading } from '../exchange.ts'
import type { Gate } from '../gate/gate.ts'
import { isDecidedEachTime } from '../gate/passthrough.ts'
import { wantedOf } from '../gate/question.ts'
import type { HotPath } from '../memory/hot-path.ts'
import { resolveName } from '../names.ts'
import { answerContent } from '../reads/content.ts'
import { isPassedOn } from '../replicas/replica-origin.ts'
import { parseRoute } from '../route.ts'
import type { Forward } from './forward.ts'

export interface HeldDeps {
  readonly resolver: Resolver
  /** Rejects with NotKnown, or an error for the client, where the primary may know better. */
  readonly reads: Reads
  readonly gate: Pick<Gate, 'admitNow' | 'learner' | 'assertNotTooMany'>
  readonly hotPath: HotPath
  readonly forward: Pick<Forward, 'answer'>
  /** Whether local names are another replica's, of which the primary knows. */
  readonly sharesLocalNames: boolean
  readonly log: Logger
}

export async function answerHeld(exchange: Exchange, deps: HeldDeps): Promise<Answer> {
  deps.gate.assertNotTooMany(exchange)
  const answer = await held(exchange, deps)
  if (answer) return answer
  exchange.facts.provenance = undefined // of what is not given
  const learn = deps.gate.learner()
  const answered = await deps.forward.answer(exchange)
  learn(exchange)
  return answered
}

async function held(exchange: Exchange, deps: HeldDeps): Promise<Answer | undefined> {
  const { resolver, reads, gate, hotPath, log } = deps
  if (!isReading(exchange) || exchange.request.headers['cdn-loop'] !== undefined) return undefined
  if (isPassedOn(exchange)) return undefined
  try {
    const route = parseRoute(exchange.path, name => resolver.knows(name))
    const { operation } = route ?? {}
    if (!route || (operation?.kind !== 'manifest' && operation?.kind !== 'blob')) return undefined
    const resolved = resolveName(exchange, route, operation, resolver)
    if (isDecidedEachTime(resolved)) return undefined
    if (resolved.local && deps.sharesLocalNames) return undefined
    const wanted = wantedOf({ exchange, route, operation, resolver, resolved })
    const admitted = gate.admitNow(exchange, wanted)
    return (
      admitted && (await answerContent({ exchange: admitted, resolved, pull: reads }, operation, hotPath))
    )
  } catch (error) {
    if (!(error instanceof NotKnown || error instanceof RegistryError))
      log.error({ err: error }, 'a read failed in a server: the primary answers it')
    return undefined
  }
}
