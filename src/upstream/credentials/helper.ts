/** Docker credential helpers: a program `docker-credential-<name>` that is asked for the credential of a server. */
import { execFile } from 'node:child_process'
import type { Clock } from '../../runtime/clock.ts'
import { Coalescer } from '../../stream/coalesce.ts'
import { type Credential, CredentialUnavailable } from './credential.ts'

const timeoutMs = 15_000
const maxOutputBytes = 256 * 1024
/** Helpers call clouds; their credentials live for hours. */
const keepMs = 5 * 60_000

/** No path, no option, nothing a shell would read. */
const nameGrammar = /^[a-z0-9][a-z0-9._-]{0,63}$/i

export class CredentialHelperFailed extends CredentialUnavailable {
  override readonly name = 'CredentialHelperFailed'
}

export class CredentialHelpers {
  readonly #clock: Clock
  readonly #running = new Coalescer<Credential | undefined>()
  readonly #known = new Map<string, { credential: Credential | undefined; until: number }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** @throws CredentialHelperFailed */
  async get(name: string, server: string): Promise<Credential | undefined> {
    const key = `${name} ${server}`
    const known = this.#known.get(key)
    if (known && this.#clock.monotonic() < known.until) return known.credential
    return this.#running.run(key, async () => {
      const credential = await run(name, server)
      this.#known.set(key, { credential, until: this.#clock.monotonic() + keepMs })
      return credential
    }).result
  }

  forget(): void {
    this.#known.clear()
  }
}

async function run(name: string, server: string): Promise<Credential | undefined> {
  if (!nameGrammar.test(name)) throw new CredentialHelperFailed('a credential helper has an unusable name')
  const program = `docker-credential-${name}`
  const { output, failure } = await ask(program, server)
  if (failure !== undefined) {
    if (output.includes('credentials not found')) return undefined
    throw new CredentialHelperFailed(`${program} failed: ${failure}`)
  }
  const { Username: username, Secret: secret } = parse(program, output)
  if (typeof username !== 'string' || typeof secret !== 'string') {
    throw new CredentialHelperFailed(`${program} answered without Username and Secret`)
  }
  return username === '<token>'
    ? { kind: 'identity', token: secret }
    : { kind: 'basic', username, password: secret }
}

/** What it prints is a secret, so a failure is told by its code alone. */
function ask(program: string, server: string): Promise<{ output: string; failure: string | undefined }> {
  return new Promise(resolve => {
    const child = execFile(
      program,
      ['get'],
      { timeout: timeoutMs, maxBuffer: maxOutputBytes, killSignal: 'SIGKILL' },
      (error, output) => {
        resolve({ output, failure: error ? reasonOf(error) : undefined })
      },
    )
    child.stdin?.on('error', () => {}) // it may end without reading: its answer counts
    child.stdin?.end(server)
  })
}

function reasonOf(error: { code?: unknown; killed?: boolean }): string {
  if (error.killed) return `no answer within ${timeoutMs / 1000} s`
  return typeof error.code === 'string' ? error.code : `exit code ${String(error.code)}`
}

function parse(program: string, output: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(output)) as Record<string, unknown>
  } catch {
    throw new CredentialHelperFailed(`${program} did not answer with JSON`) // no cause: it would quote the output
  }
}
