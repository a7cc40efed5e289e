/** Requests of clients that one replica passes on to another: signed, with whose they are. */
import { nameOf } from '../../access/caller.ts'
import { type Signatures, signatureHeader } from '../../cluster/peers/signature.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { Exchange } from '../exchange.ts'
import { isOurs, write } from '../siblings/sibling.ts'

/** Of a request: whose it is, part of what is signed. */
export const replicaOriginHeader = 'replica-origin'
/** Of an answer: not the owner of local names; nothing of the request has been carried out. */
export const notOwnerHeader = 'replica-not-owner'

/** Of an answer without its bytes: how many the blob has, which the replica that asked may give its client. */
export const bytesHeader = 'replica-bytes'

type Origin = Pick<
  Exchange,
  | 'client'
  | 'proxied'
  | 'secure'
  | 'role'
  | 'requestId'
  | 'publicPath'
  | 'fetchesBytes'
  | 'caller'
  | 'access'
  | 'question'
> & {
  readonly httpVersion: string
}

/** Neither clients nor answers to them carry what replicas tell each other. */
export function isReplicas(name: string): boolean {
  return isOurs(name) || name.startsWith('replica-')
}

/** Names and values in turns. @param to where the other replica advertises itself */
export function originHeaders(exchange: Exchange, to: string, signatures: Signatures): string[] {
  const { client, proxied, secure, role, requestId, publicPath, fetchesBytes, request } = exchange
  const { caller, access, question } = exchange
  const { method = 'GET', url: path = '/', httpVersion } = request
  const origin: Origin = {
    client,
    proxied,
    secure,
    role,
    requestId,
    publicPath,
    fetchesBytes,
    caller,
    access,
    question,
    httpVersion,
  }
  const speaksFor = write(origin)
  const signature = signatures.sign(to, { method, path, speaksFor })
  return [replicaOriginHeader, speaksFor, signatureHeader, signature]
}

/** Whether the request says that a replica passed it on. */
export function isPassedOn({ request }: Pick<Exchange, 'request'>): boolean {
  return request.headers[replicaOriginHeader] !== undefined
}

/**
 * The exchange with the client that it is for, where a replica passed it on; else as it is.
 *
 * @throws RegistryError DENIED (403) for what no replica of ours signed
 */
export function asItsClients(exchange: Exchange, signatures: Signatures | undefined): Exchange {
  if (!isPassedOn(exchange)) return exchange
  const { request } = exchange
  const { method = 'GET', url: path = '/', headers } = request
  const speaksFor = String(headers[replicaOriginHeader])
  if (!signatures?.isGenuine(headers[signatureHeader], { method, path, speaksFor })) {
    const reason = 'no replica of this registry signed this request'
    exchange.facts.isForged = true
    exchange.facts.audit = { event: 'denied', reason }
    throw new RegistryError('DENIED', reason)
  }
  const { httpVersion, ...origin } = JSON.parse(speaksFor) as Origin
  request.httpVersion = httpVersion // who may write depends on how the client speaks
  const { client } = origin // of one that was gone by then nothing is known, and nothing of who passed it on is meant
  exchange.facts.user = origin.caller && nameOf(origin.caller)
  return { ...exchange, ...origin, client, inward: true, fromReplica: true }
}
