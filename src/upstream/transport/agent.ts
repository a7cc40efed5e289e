/** The connections to one upstream: which agent a URL goes through, with its limits, its trust and its proxy. */
import { Agent, type Dispatcher, EnvHttpProxyAgent, ProxyAgent } from 'undici'
import type { Lookup } from '../../runtime/lookup.ts'
import type { UpstreamOptions } from '../upstream.ts'
import { type AddressRule, assertLiteral, guardedLookup, type Ownership } from './address.ts'

/** Signed URLs of Google's Artifact Registry and of some CDNs are longer than the default allows. */
const maxHeaderBytes = 64 * 1024
const keepAliveMs = 30_000
/** Connections an origin for everything that is not a blob. */
const metadataConnections = 64
/** Connections for bytes asked beside the fills: sizes of blobs, forwarded ranges. */
const spareConnections = 8
/** HTTP/2 windows: the defaults hold a link of 30 ms to 17 MB/s. */
const http2Window = 8 * 1024 * 1024

export class Agents {
  readonly #options: UpstreamOptions
  readonly #lookup: Lookup
  readonly #rule: AddressRule
  readonly #origins: ReadonlySet<string>
  readonly #hostnames: ReadonlySet<string>
  readonly #agents = new Map<string, Dispatcher>()

  constructor(options: UpstreamOptions, lookup: Lookup, rule: AddressRule) {
    this.#options = options
    this.#lookup = lookup
    this.#rule = rule
    const urls = options.urls.map(({ url }) => new URL(url))
    this.#origins = new Set(urls.map(url => url.origin))
    this.#hostnames = new Set(urls.map(url => url.hostname))
  }

  /**
   * Blobs have connections of their own, so that long bodies never keep a manifest waiting.
   * @throws AddressRefused for a literal address that may not be asked
   */
  for(url: URL, { bulk }: { bulk: boolean }): Dispatcher {
    const host: Ownership = this.#hostnames.has(url.hostname) ? 'own' : 'foreign'
    assertLiteral(url, host, this.#rule)
    // The client certificate is for the origins of the configuration, never for where they redirect to.
    const certified = this.#origins.has(url.origin)
    const key = `${host} ${certified} ${bulk}`
    const agent = this.#agents.get(key) ?? this.#create({ host, certified, bulk })
    this.#agents.set(key, agent)
    return agent
  }

  async close(): Promise<void> {
    await Promise.all([...this.#agents.values()].map(agent => agent.close()))
  }

  async destroy(): Promise<void> {
    await Promise.all([...this.#agents.values()].map(agent => agent.destroy()))
  }

  #create({ host, certified, bulk }: { host: Ownership; certified: boolean; bulk: boolean }): Dispatcher {
    const { timeouts, concurrency, http2, tls, proxy } = this.#options
    const trust = {
      ...(tls.ca === undefined ? {} : { ca: tls.ca }),
      ...(certified && tls.cert !== undefined ? { cert: tls.cert } : {}),
      ...(certified && tls.key !== undefined ? { key: tls.key } : {}),
    }
    const dial = { timeout: timeouts.connectMs, autoSelectFamily: true, allowH2: http2 }
    const common = {
      connections: bulk ? concurrency.fills + spareConnections : metadataConnections,
      allowH2: http2,
      ...(http2 ? { h2Options: http2Options } : {}),
      headersTimeout: timeouts.headersMs,
      bodyTimeout: timeouts.idleMs,
      connectTimeout: timeouts.connectMs,
      keepAliveTimeout: keepAliveMs,
      maxHeaderSize: maxHeaderBytes,
      connect: { ...dial, ...trust, lookup: guardedLookup(this.#lookup, host, this.#rule) },
      requestTls: { ...dial, ...trust },
      // The proxy is of the configuration too, and it is the one who resolves the names behind it.
      proxyTls: { ...dial, ...trustInCa(tls), lookup: guardedLookup(this.#lookup, 'own', this.#rule) },
    }
    if (proxy !== undefined) return new ProxyAgent({ ...common, uri: proxy })
    return hasProxyVariables() ? new EnvHttpProxyAgent(common) : new Agent(common)
  }
}

const http2Options = {
  settings: { initialWindowSize: http2Window },
  connectionWindowSize: 2 * http2Window,
}

function trustInCa({ ca }: UpstreamOptions['tls']): { ca?: string } {
  return ca === undefined ? {} : { ca }
}

/** Whether the environment names a proxy, whatever it excepts. */
export function hasProxyVariables(): boolean {
  const names = ['http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY']
  return names.some(name => (process.env[name] ?? '') !== '')
}
