/**
 * Credential providers of the kubelet: a program reads a request on its standard input and prints credentials by image.
 * https://kubernetes.io/docs/reference/config-api/kubelet-credentialprovider.v1/
 */
import { execFile } from 'node:child_process'
import { latest } from '../../runtime/latest.ts'
import { Semaphore } from '../../stream/semaphore.ts'
import {
  type Credential,
  type CredentialProvider,
  CredentialUnavailable,
  fingerprint,
  type Renewal,
} from './credential.ts'
import { bestKey } from './image-match.ts'
import { type Lease, Refreshing, type RefreshingDeps } from './refreshing.ts'

export interface ExecOptions {
  /** Absolute path. */
  readonly command: string
  readonly args: readonly string[]
  /** All of the environment but the paths that every program needs: ours holds the secrets of others. */
  readonly env: Readonly<Record<string, string>>
  readonly timeoutMs: number
  readonly apiVersion: 'v1' | 'v1beta1' | 'v1alpha1'
}

interface Answer {
  /** It was asked for this image, and is for no other. */
  readonly onlyFor: string | undefined
  readonly auth: ReadonlyMap<string, Credential>
}

export interface ExecDeps extends RefreshingDeps {
  /** Of which the paths are handed on. */
  readonly env: Readonly<Record<string, string | undefined>>
}

const group = 'credentialprovider.kubelet.k8s.io'
const handedOn = [
  'PATH',
  'HOME',
  'TMPDIR',
  'LANG',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
]
const maxOutputBytes = 256 * 1024
/** Where the program does not say. */
const defaultKeepMs = 5 * 60_000
const maxImages = 1_000
/** Programs running at once, for one URL. */
const maxRunning = 4

export class ExecCredentials implements CredentialProvider {
  readonly version: string
  readonly renewal: Renewal
  readonly #host: string
  readonly #options: ExecOptions
  readonly #deps: ExecDeps
  readonly #running = new Semaphore(maxRunning)
  /** What it said last, for the registry or for all; the first image's own, once it says that it is for one only. */
  readonly #common: Refreshing<Answer>
  readonly #byImage = latest<string, Refreshing<Answer>>(maxImages)
  /** That the common one is asked for. */
  #image = ''
  /** One image's failure is no other's then. */
  #isPerImage = false

  /** @param host of the registry's URL, with its port if it has one */
  constructor(host: string, options: ExecOptions, deps: ExecDeps) {
    this.version = `exec ${options.command}`
    this.#host = host
    this.#options = options
    this.#deps = deps
    this.#common = new Refreshing(() => this.#run(this.#image), deps)
    this.renewal = {
      isDue: repository => this.#heldFor(this.#imageOf(repository)).isDue,
      renew: (repository, refused) => this.#renew(this.#imageOf(repository), refused),
    }
  }

  async get(repository: string): Promise<Credential | undefined> {
    const image = this.#imageOf(repository)
    return credentialIn(await this.#answer(image), image)
  }

  async #answer(image: string): Promise<Answer> {
    if (this.#isPerImage) return this.#heldFor(image).get()
    this.#image = image
    const answer = await this.#common.get()
    const { onlyFor } = answer
    if (onlyFor === undefined) return answer
    if (!this.#isPerImage) this.#byImage.set(onlyFor, this.#common)
    this.#isPerImage = true
    this.#image = onlyFor // from now on
    return this.#heldFor(image).get()
  }

  #heldFor(image: string): Refreshing<Answer> {
    if (!this.#isPerImage) return this.#common
    const known = this.#byImage.get(image) ?? new Refreshing(() => this.#run(image), this.#deps)
    this.#byImage.set(image, known)
    return known
  }

  async #renew(image: string, refused: Credential): Promise<Credential | undefined> {
    const answer = await this.#answer(image)
    const present = credentialIn(answer, image)
    if (present && fingerprint(present) !== fingerprint(refused)) return present
    if (!this.#isPerImage) this.#image = image
    const renewed = await this.#heldFor(image).renew(answer)
    return renewed && credentialIn(renewed, image)
  }

  #imageOf(repository: string): string {
    return `${this.#host}/${repository}`
  }

  async #run(image: string): Promise<Lease<Answer>> {
    const release = await this.#running.acquire()
    try {
      const { apiVersion } = this.#options
      const request = { kind: 'CredentialProviderRequest', apiVersion: `${group}/${apiVersion}`, image }
      const output = await this.#ask(JSON.stringify(request))
      return parse(output, image, this.#options.command)
    } finally {
      release()
    }
  }

  /** What it prints is a secret, so a failure is told by its code alone. */
  #ask(request: string): Promise<string> {
    const { command, args, env, timeoutMs } = this.#options
    const inherited = handedOn
      .flatMap(name => [name, name.toLowerCase()])
      .flatMap(name => {
        const value = this.#deps.env[name]
        return value === undefined ? [] : [[name, value] as const]
      })
    const options = {
      env: { ...Object.fromEntries(inherited), ...env },
      timeout: timeoutMs,
      maxBuffer: maxOutputBytes,
      killSignal: 'SIGKILL',
    } as const
    return new Promise((resolve, reject) => {
      const child = execFile(command, args, options, (error, output) => {
        if (error) reject(new CredentialUnavailable(`${command} failed: ${reasonOf(error, timeoutMs)}`))
        else resolve(output)
      })
      child.stdin?.on('error', () => {}) // it may end without reading: its answer counts
      child.stdin?.end(request)
    })
  }
}

function credentialIn({ auth }: Answer, image: string): Credential | undefined {
  const key = bestKey([...auth.keys()], image)
  return key === undefined ? undefined : auth.get(key)
}

function reasonOf(error: { code?: unknown; killed?: boolean }, timeoutMs: number): string {
  if (error.code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER')
    return `it printed more than ${maxOutputBytes} bytes`
  if (error.killed) return `no answer within ${timeoutMs / 1000} s`
  return typeof error.code === 'string' ? error.code : `exit code ${String(error.code)}`
}

function parse(output: string, image: string, command: string): Lease<Answer> {
  const { kind, apiVersion, cacheKeyType, cacheDuration, auth } = objectIn(output)
  const isResponse =
    kind === 'CredentialProviderResponse' &&
    typeof apiVersion === 'string' &&
    new RegExp(`^${group}/v1(?:alpha1|beta1)?$`).test(apiVersion)
  if (!isResponse)
    throw new CredentialUnavailable(`${command} did not answer with a CredentialProviderResponse`)
  const entries = Object.entries(Object(auth)).flatMap(([key, entry]): [string, Credential][] => {
    const { username, password } = Object(entry) as Record<string, unknown>
    if (typeof username !== 'string' || typeof password !== 'string') return []
    return [[key, { kind: 'basic', username, password }]]
  })
  return {
    value: { onlyFor: cacheKeyType === 'Image' ? image : undefined, auth: new Map(entries) },
    lifeMs: durationMs(cacheDuration) ?? defaultKeepMs,
  }
}

const unitMs: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 }

/** Go's: `6h0m0s`, `1.5h`. Undefined: none. */
function durationMs(text: unknown): number | undefined {
  if (typeof text !== 'string' || !/^(?:\d{1,12}(?:\.\d{1,9})?(?:h|ms|m|s))+$/.test(text)) return undefined
  const parts = text.matchAll(/([\d.]+)(ms|h|m|s)/g)
  return [...parts].reduce((sum, [, amount, unit = '']) => sum + Number(amount) * (unitMs[unit] ?? 0), 0)
}

function objectIn(output: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(output)) as Record<string, unknown>
  } catch {
    return {} // no response, which is told; a parser's message would quote it
  }
}
