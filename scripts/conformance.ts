/** Holds Layover against the official suite of the distribution specification: `npm run conformance [-- --results folder] [--replicas 3] [--access basic]`. */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { type Bundle, multiArchImage, signatureOf } from '../test/e2e/image.ts'
import { Layover } from '../test/e2e/layover.ts'
import type { Registry } from '../test/e2e/origin.ts'
import { publish } from '../test/e2e/publish.ts'
import { basic, password, usersNamed } from '../test/support/access.ts'
import { Balancer } from '../test/support/balancer.ts'
import { RedisServer } from '../test/support/redis.ts'
import { Replicas } from '../test/support/replicas.ts'
import { startS3 } from '../test/support/s3.ts'

const suite = 'conformance'
const suiteTimeoutMs = 10 * 60_000
const upstreamRepository = 'team/app'
const tag = '1.0'
const localNames = ['local/**', 'team/**']
/** Beyond that a machine does nothing but start them. */
const mostReplicas = 20
/** Everything that the specification and its drafts offer, optional or not. */
const every = 1032
const readOnly = 10
/** Of the tests that did not pass. */
const mostNamed = 50

const challenges = ['basic', 'bearer'] as const
type Challenge = (typeof challenges)[number]
const user = 'alice'

/** What is held against the suite. */
interface Subject {
  readonly address: string
  readonly local: Registry
  /** What it said, for a person who looks for the reason. */
  log(): string
}

interface Way {
  /** Folder for what they keep. */
  readonly root: string
  readonly results: string
  readonly replicas: number
  /** How everybody has to log in; undefined: nobody can, and this machine may do everything. */
  readonly challenge: Challenge | undefined
}

interface Profile {
  readonly name: string
  readonly settings: Readonly<Record<string, string>>
  readonly passed: number
}

function profiles(registry: Subject, mirror: Registry, image: Bundle): readonly Profile[] {
  const dev = { OCI_VERSION: 'dev', OCI_DATA_SPARSE: 'true' }
  return [
    ...[1, 2, 3].map(run => ({
      name: `dev-${run}`,
      settings: { ...dev, ...repositories(registry, `dev-${run}`) },
      passed: every,
    })),
    { name: '1.1', settings: { ...stable, ...repositories(registry, 'stable') }, passed: every },
    { name: 'read-only', settings: proxied(mirror, image), passed: readOnly },
  ]
}

/** What the stable profile leaves out by itself. */
const stable = {
  OCI_VERSION: '1.1',
  OCI_API_BLOBS_UPLOAD_CANCEL: 'true',
  OCI_API_BLOBS_DIGEST_HEADER: 'true',
  OCI_API_MANIFESTS_DIGEST_HEADER: 'true',
  OCI_API_MANIFESTS_TAG_PARAM: 'true',
  OCI_DATA_SPARSE: 'true',
}

/** New ones for each run: the suite judges whole repositories. */
function repositories({ local }: Subject, run: string) {
  return {
    OCI_REGISTRY: local.address,
    OCI_REPO1: `${local.namespace}${run}/one`,
    OCI_REPO2: `${local.namespace}${run}/two`,
  }
}

/** Without the filter the suite crashes on names that it may not push to. */
function proxied({ address, namespace }: Registry, { root, blobs }: Bundle) {
  return {
    OCI_VERSION: '1.1',
    OCI_API_PUSH: 'false',
    OCI_API_BLOBS_DELETE: 'false',
    OCI_API_MANIFESTS_DELETE: 'false',
    OCI_API_TAGS_DELETE: 'false',
    OCI_FILTER_TEST: 'OCI Conformance Test/read-only',
    OCI_REGISTRY: address,
    OCI_REPO1: `${namespace}${upstreamRepository}`,
    OCI_RO_DATA_TAGS: tag,
    OCI_RO_DATA_MANIFESTS: root.digest,
    OCI_RO_DATA_BLOBS: blobs
      .slice(0, 2)
      .map(({ digest }) => digest)
      .join(' '),
    OCI_RO_DATA_REFERRERS: root.digest,
  }
}

/** Runs one profile and returns what is wrong with its outcome: nothing, one hopes. */
async function run(
  { name, settings, passed }: Profile,
  { results, challenge }: Pick<Way, 'results' | 'challenge'>,
): Promise<string[]> {
  const folder = join(results, name)
  await mkdir(folder, { recursive: true })
  const report = join(folder, 'report.html')
  await rm(report, { force: true }) // one of an earlier run must not speak for this one
  const login = challenge && { OCI_USERNAME: user, OCI_PASSWORD: password }
  const said = await runSuite({ ...settings, ...login, OCI_TLS: 'disabled', OCI_RESULTS_DIR: folder })
  return judge(said, await readFile(report, 'utf8').catch(() => ''), passed) // missing: judged there
}

/** Its exit code is 0 for wrong settings and for skipped tests: what it says and reports is judged instead. */
function runSuite(settings: Record<string, string>): Promise<string> {
  const env = { PATH: process.env.PATH, HOME: settings.OCI_RESULTS_DIR, ...settings }
  const options = { env, timeout: suiteTimeoutMs, maxBuffer: 256 * 1024 * 1024 }
  return new Promise((done, fail) => {
    execFile(suite, options, (error, stdout, stderr) => {
      if (error?.code === 'ENOENT') fail(new Error(noSuite))
      else if (error?.killed)
        fail(new Error(`the suite did not end within ${suiteTimeoutMs / 60_000} minutes`))
      else done(`${stdout}\n${stderr}`)
    })
  })
}

const noSuite = `there is no program \`${suite}\` on PATH; see docs/how-to/conformance.md`

function judge(said: string, report: string, passed: number): string[] {
  const whole = passed === every
  const expected = { Pass: passed, Skip: 0, FAIL: 0, Error: 0, ...(whole ? { Disabled: 0 } : {}) }
  const wrong = Object.entries(expected)
    .map(([status, count]) => ({ status, count, found: countOf(said, status) }))
    .filter(({ count, found }) => count !== found)
    .map(({ status, count, found }) => `${status}: ${found ?? 'not said'}, expected ${count}`)
  if (!/^OCI Conformance Result: Pass$/m.test(said)) wrong.push('the result is not Pass')
  if (!report.includes(`>${whole ? 'All ' : ''}${passed} passed</span>`))
    wrong.push('the report does not agree')
  if (wrong.length === 0) return []
  const tests = said.split('\n').filter(line => /: +(?:FAIL|Skip|Error|Disabled|Unknown)$/.test(line))
  return [...wrong, ...(tests.length > 0 ? tests.slice(0, mostNamed) : [said.trim().slice(-2_000)])]
}

function countOf(said: string, status: string): number | undefined {
  const count = new RegExp(`^ *${status}\\.+: +(\\d+)$`, 'm').exec(said)?.[1]
  return count === undefined ? undefined : Number(count)
}

async function startRegistry({ root, replicas: count, challenge }: Way): Promise<Subject & AsyncDisposable> {
  const access = accessBy(challenge)
  if (count === 1)
    return Layover.start(root, nowhere, { name: 'registry', local: localNames, settings: access })
  await using started = new AsyncDisposableStack()
  const redis = started.use(await RedisServer.start())
  const s3 = started.use(await startS3())
  const settings = { local: localNames.map(match => ({ match })), ...access }
  const options = { root, count, upstreamUrl: `http://${nowhere.address}`, index: redis.url, s3, settings }
  const replicas = started.use(await Replicas.start(options))
  const { address } = started.use(await Balancer.start(replicas.urls))
  const running = started.move()
  return {
    address,
    local: { address, namespace: 'local/' },
    log: () =>
      replicas.all.map(each => `${each.name}:\n${each.lines().filter(isTelling).join('\n')}`).join('\n'),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

/** Requests that were answered well are too many. */
function isTelling(line: string): boolean {
  return !line.includes('"msg":"request"') || line.includes('"status":5')
}

const nowhere = { address: '127.0.0.1:1' }

function accessBy(challenge: Challenge | undefined) {
  return challenge ? { access: { users: usersNamed(user), challenge } } : {}
}

/** A registry with its local names, and a mirror in front of what was pushed to it. */
async function runAll(way: Way): Promise<boolean> {
  const { challenge } = way
  await using registry = await startRegistry(way)
  await using mirror = await Layover.start(way.root, registry, {
    name: 'mirror',
    local: [],
    settings: accessBy(challenge),
    credentials: challenge && { username: user, password },
  })
  const image = multiArchImage()
  const authorization = challenge && basic(user)
  const upstream = { address: registry.address, namespace: '', authorization }
  await publish(upstream, `${upstreamRepository}:${tag}`, image)
  await publish(upstream, upstreamRepository, signatureOf(image.root))
  let good = true
  for (const profile of profiles(registry, mirror, image)) {
    const complaints = await run(profile, way)
    console.log(
      `${profile.name.padEnd(10)} ${complaints.length === 0 ? `${profile.passed} passed` : 'FAILED'}`,
    )
    for (const complaint of complaints) console.error(`  ${complaint}`)
    good &&= complaints.length === 0
  }
  if (!good) console.error(registry.log())
  return good
}

function countOfReplicas(text: string): number {
  const count = Number(text)
  if (Number.isInteger(count) && count >= 1 && count <= mostReplicas) return count
  throw new Error(`--replicas: expected a number from 1 to ${mostReplicas}, got ${text}`)
}

function challengeOf(text: string | undefined): Challenge | undefined {
  const found = challenges.find(challenge => challenge === text)
  if (found !== undefined || text === undefined) return found
  throw new Error(`--access: expected ${challenges.join(' or ')}, got ${text}`)
}

const { values } = parseArgs({
  options: {
    results: { type: 'string' },
    replicas: { type: 'string', default: '1' },
    access: { type: 'string' },
  },
})
const root = await mkdtemp(join(tmpdir(), 'layover-conformance-'))
try {
  const good = await runAll({
    root,
    results: resolve(values.results ?? join(root, 'results')),
    replicas: countOfReplicas(values.replicas),
    challenge: challengeOf(values.access),
  })
  if (!good) process.exitCode = 1
} catch (error) {
  console.error(`conformance: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
} finally {
  await rm(root, { recursive: true, force: true })
}
