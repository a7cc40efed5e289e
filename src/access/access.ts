/** Who is let in, and what they may do: the one place that decides. */
import type { Clock } from '../runtime/clock.ts'
import type { AccessOptions } from './options.ts'
import type { Policies } from './policy/policies.ts'
import type { Action, Asked, Question, Verdict } from './question.ts'
import { type Session, Sessions, type Shown } from './session.ts'
import type { Scope } from './tokens/scope.ts'
import type { Webhook } from './webhook.ts'

export interface AccessDeps {
  readonly clock: Clock
  readonly options: AccessOptions
  readonly policies: Policies
  readonly webhook: Pick<Webhook, 'decide' | 'peek'> | undefined
  /** Asks who is not remembered. @throws as Login does */
  readonly identify: (shown: Shown, audience: () => string) => Promise<Session>
}

/** Whether somebody may, and if not, whether a login or a token of a larger scope could change it. */
export type Decision = { readonly kind: 'allowed' } | Refusal

export type Refusal =
  | { readonly kind: 'denied'; readonly reason: string }
  | { readonly kind: 'out-of-scope'; readonly reason: string }

const granted: Decision = { kind: 'allowed' }

export class Access {
  readonly options: AccessOptions
  readonly #deps: AccessDeps
  readonly #sessions = new Sessions()

  constructor(deps: AccessDeps) {
    this.#deps = deps
    this.options = deps.options
  }

  /** From memory alone; undefined: `identify` finds it out. */
  known(shown: Shown): Session | undefined {
    return this.#sessions.find(shown, this.#deps.clock.now())
  }

  /** What another process of ours found out. */
  remember(shown: Shown, session: Session): void {
    this.#sessions.keep(shown, session)
  }

  /** @throws LoginRefused, LoginUnavailable, RegistryError */
  async identify(shown: Shown, audience: () => string): Promise<Session> {
    const known = this.known(shown)
    if (known) return known
    const session = await this.#deps.identify(shown, audience)
    this.#sessions.keep(shown, session)
    return session
  }

  /** @throws RegistryError UNAVAILABLE (503) while the webhook cannot be asked */
  async decide(session: Session, question: Question, client: string): Promise<Decision> {
    const asked = askedBy(session, question, client)
    const { policies, webhook } = this.#deps
    const verdict = policies.decide(asked)
    return decided(session, question, verdict.allowed && webhook ? await webhook.decide(asked) : verdict)
  }

  /** From memory alone; undefined: it has to be asked. */
  decideNow(session: Session, question: Question, client: string): Decision | undefined {
    const asked = askedBy(session, question, client)
    const { policies, webhook } = this.#deps
    const verdict = policies.decide(asked)
    const last = verdict.allowed && webhook ? webhook.peek(asked) : verdict
    return last && decided(session, question, last)
  }

  /** Which of these actions a token of the caller is good for. What only a request tells, its policy decides then. */
  grants(
    session: Session,
    question: Omit<Question, 'action'>,
    actions: readonly Action[],
    client: string,
  ): Action[] {
    const { policies } = this.#deps
    return actions.filter(
      action =>
        policies.readsObjects || policies.decide(askedBy(session, { ...question, action }, client)).allowed,
    )
  }
}

function askedBy({ caller }: Session, question: Question, client: string): Asked {
  return { ...question, caller, client }
}

function decided(session: Session, question: Question, verdict: Verdict): Decision {
  if (!verdict.allowed) return { kind: 'denied', reason: verdict.reason }
  if (covers(session.access, question)) return granted
  const { action, repository } = question
  return { kind: 'out-of-scope', reason: `the token is not for ${action} on ${repository || 'the registry'}` }
}

/** @param access names are full ones; undefined: no token limits it */
function covers(access: readonly Scope[] | undefined, { action, repository }: Question): boolean {
  if (access === undefined || action === 'health' || action === 'metrics') return true
  if (action === 'catalog') return access.some(({ type, name }) => type === 'registry' && name === 'catalog')
  return access.some(
    ({ type, name, actions }) => type === 'repository' && name === repository && actions.includes(action),
  )
}
