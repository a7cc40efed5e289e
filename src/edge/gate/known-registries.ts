/** Who is told which registries are configured, when they ask for one that is not. */
import type { Access } from '../../access/access.ts'
import { ofNothing } from '../../access/question.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { Exchange } from '../exchange.ts'
import { shownBy } from './gate.ts'

/** The error as who asks may see it: with what it lists for whom we know, and where anybody may pull. */
export function forStranger(error: unknown, exchange: Exchange, access: Access | undefined): unknown {
  if (!(error instanceof RegistryError) || error.code !== 'NAME_UNKNOWN') return error
  return !access || mayKnow(exchange, access) ? error : new RegistryError(error.code, error.message)
}

/** From memory alone: nobody's password is checked for the sake of a 404. */
function mayKnow(exchange: Exchange, access: Access): boolean {
  const caller = exchange.caller ?? access.known(shownBy(exchange))?.caller
  if (caller?.method !== 'anonymous') return caller !== undefined
  const session = { caller, until: Number.POSITIVE_INFINITY }
  const decision = access.decideNow(session, { ...ofNothing, action: 'pull' }, exchange.client ?? '')
  return decision?.kind === 'allowed'
}
