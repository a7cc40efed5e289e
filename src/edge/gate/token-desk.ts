/** The token endpoint among everything else: who asks logs in as at any other request, and gets what policy grants. */
import type { Access } from '../../access/access.ts'
import type { UserAndPassword } from '../../access/basic.ts'
import { anonymous, type Caller } from '../../access/caller.ts'
import type { Login } from '../../access/login.ts'
import { type Action, ofNothing, type Question } from '../../access/question.ts'
import type { Session } from '../../access/session.ts'
import type { Scope } from '../../access/tokens/scope.ts'
import type { Tokens } from '../../access/tokens/tokens.ts'
import type { Resolver } from '../../resolve/resolve.ts'
import type { Answer } from '../answer.ts'
import type { Exchange } from '../exchange.ts'
import { repositoryIn } from './question.ts'
import { realmOf, tokenPath } from './realm.ts'
import { answerToken, type LoggedIn } from './token.ts'

export interface Desk {
  readonly access: Access
  readonly login: Login
  readonly tokens: Tokens
}

export interface TokenDeskDeps {
  /** Undefined: no access is configured, and nobody needs a token. */
  readonly desk: Desk | undefined
  readonly resolver: Resolver
  /** Without a trailing slash. */
  readonly publicUrl: string | undefined
}

const repositoryActions = ['pull', 'push', 'delete'] as const satisfies Action[]

/** Undefined: the request is about something else. A mirror gives no tokens. */
export function answerTokens(
  exchange: Exchange,
  { desk, resolver, publicUrl }: TokenDeskDeps,
): Promise<Answer> | undefined {
  if (!desk || exchange.path !== tokenPath || exchange.role === 'mirror') return undefined
  return answerToken(exchange, {
    tokens: desk.tokens,
    login: shown => loggedIn(exchange, shown, desk),
    grants: async (caller, scopes) => grants(exchange, { caller, scopes, desk, resolver }),
    service: asked => realmOf(asked, { publicUrl }).service,
  })
}

/** Who shows nothing is who their certificate says, or nobody. */
async function loggedIn(
  { certificate, client = '' }: Exchange,
  shown: UserAndPassword | undefined,
  { access, login }: Desk,
): Promise<LoggedIn> {
  if (shown) return login.withPassword(shown, client)
  return access.known({ authorization: undefined, certificate, client }) ?? { caller: anonymous }
}

interface Asked {
  readonly caller: Caller
  readonly scopes: readonly Scope[]
  readonly desk: Desk
  readonly resolver: Resolver
}

/** By full names, whatever the client calls them. What is not granted is left out. */
function grants({ client = '' }: Exchange, { caller, scopes, desk, resolver }: Asked): readonly Scope[] {
  const session: Session = { caller, until: Number.POSITIVE_INFINITY }
  const granted = (about: Omit<Question, 'action'>, actions: readonly Action[]) =>
    desk.access.grants(session, about, actions, client)
  return scopes.flatMap((scope): Scope[] => {
    if (scope.type === 'registry') return granted(ofNothing, ['catalog']).length === 0 ? [] : [scope]
    const found = resolver.find(scope.name)
    if (!found) return []
    const about = repositoryIn(resolver, found)
    const actions = granted(about, asked(scope))
    return actions.length === 0 ? [] : [{ ...scope, name: about.repository, actions }]
  })
}

function asked({ actions }: Scope): readonly Action[] {
  return actions.includes('*') ? repositoryActions : repositoryActions.filter(each => actions.includes(each))
}
