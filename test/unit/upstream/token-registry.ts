/** A registry that wants tokens, with its realm on another host. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { manifest, manifestHeaders, type Scripted, serve } from './support.ts'

export interface TokenRegistry extends AsyncDisposable {
  url: string
  realmHost: string
  registry: Scripted
  realm: Scripted
  /** Tokens given out that the registry takes; a test empties it to let them expire. */
  valid: Set<string>
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void

export interface TokenScript {
  /** Instead of the manifest, for requests with a good token. */
  granted?: Answer
  /** For tokens that are no longer good. */
  expired?: Answer
  realm?: (request: IncomingMessage, response: ServerResponse, next: () => void) => void
  challenge?: (realm: string) => string | string[]
}

export async function serveTokens(script: TokenScript = {}): Promise<TokenRegistry> {
  const valid = new Set<string>()
  let issued = 0
  const realm = await serve((request, response) => {
    const issue = () => {
      const token = `token-${++issued}`
      valid.add(token)
      response.end(JSON.stringify({ token, expires_in: 300 }))
    }
    if (script.realm) script.realm(request, response, issue)
    else issue()
  })
  const realmUrl = `http://auth.hub.test:${realm.port}/token`
  const challenge =
    script.challenge?.(realmUrl) ??
    `Bearer realm="${realmUrl}",service="registry.hub.test",scope="repository:library/alpine:pull"`
  const registry = await serve((request, response) => {
    const token = request.headers.authorization?.replace('Bearer ', '')
    if (token !== undefined && valid.has(token)) return (script.granted ?? sendManifest)(request, response)
    if (token !== undefined && script.expired) return script.expired(request, response)
    response.writeHead(401, { 'www-authenticate': challenge }).end('{"errors":[{"code":"UNAUTHORIZED"}]}')
  })
  return {
    url: `http://registry.hub.test:${registry.port}`,
    realmHost: `auth.hub.test:${realm.port}`,
    registry,
    realm,
    valid,
    [Symbol.asyncDispose]: async () => {
      await registry.close()
      await realm.close()
    },
  }
}

export const sendManifest: Answer = (_request, response) => {
  response.writeHead(200, { ...manifestHeaders, 'content-length': manifest.length }).end(manifest)
}
