/** Which replicas there are: each says so again and again, in one sorted set whose entries expire, and what it is beside it. */
import { randomUUID } from 'node:crypto'
import type { Logger } from '../../observe/log.ts'
import { Quiet } from '../../observe/quiet.ts'
import type { Clock } from '../../runtime/clock.ts'
import { type Redis, RedisRefused } from '../redis/redis.ts'
import { areApart, describeSite, formatSite, type MemberSite, parseSite } from './member-site.ts'

/** How long a replica counts as there after it said so last. */
export const memberMs = 6_000
const renewEveryMs = 2_000
/** More are not looked at. */
const maxMembers = 256
/** Of other processes with our address so many are remembered. */
const maxNamesakes = 16
/** Told of whoever comes or goes. */
const channel = 'members'

export interface MembersDeps {
  readonly redis: Redis
  /** Where we are reached, which is our name. */
  readonly advertise: string
  /** As far as it is known by now. */
  readonly site: () => MemberSite
  readonly clock: Clock
  readonly log: Logger
}

/** A replica, and what it said of itself last; undefined: nothing that this program knows. */
export interface Member {
  readonly advertise: string
  readonly process: string | undefined
  readonly site: MemberSite | undefined
}

/**
 * By the clock of Redis, so that ours may be wrong. KEYS: the set, and what is said beside it. ARGV: ours,
 * milliseconds, how many, what we say. Gives what was said in our name before, the members, and what each says.
 */
const renew = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[3])) do
  redis.call('ZREM', KEYS[1], gone)
  redis.call('HDEL', KEYS[2], gone)
end
local before = redis.call('HGET', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
local members = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf', 'LIMIT', 0, ARGV[3])
return {before, members, redis.call('HMGET', KEYS[2], unpack(members))}`

/** Changes nothing. ARGV: how many. Gives members, and what each says. */
const look = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local members = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf', 'LIMIT', 0, ARGV[1])
if #members == 0 then return {{}, {}} end
return {members, redis.call('HMGET', KEYS[2], unpack(members))}`

const keysOf = (redis: Redis) => [redis.key('{members}'), redis.key('{members}', 'about')] as const

/** Who is there at this moment. @throws RedisDown */
export async function readMembers(redis: Redis): Promise<readonly Member[]> {
  const found = await redis.ask(client => client.eval(look, 2, ...keysOf(redis), maxMembers))
  const [members, said] = found as [string[], (string | null)[]]
  return members.map((advertise, at) => memberOf(advertise, said[at]))
}

function memberOf(advertise: string, said: string | null | undefined): Member {
  const [, process, site] = /^(\S+) (.+)$/.exec(said ?? '') ?? []
  return { advertise, process, site: site === undefined ? undefined : parseSite(site) }
}

export class Members {
  readonly #deps: MembersDeps
  readonly #stopping = new AbortController()
  /** This process, among all that there ever are. */
  readonly #process = randomUUID()
  /** Other processes that spoke in our name. */
  readonly #namesakes = new Set<string>()
  readonly #quiet: Quiet
  #others: readonly string[] = []
  #renewed: Promise<void> = Promise.resolve()
  #unsubscribe: (() => void) | undefined

  constructor(deps: MembersDeps) {
    this.#deps = deps
    this.#quiet = new Quiet(deps.clock)
  }

  /** Where the other replicas are reached, as far as Redis said when it was last there. */
  get others(): readonly string[] {
    return this.#others
  }

  /** Resolves when the others know of us, or Redis is down. */
  async start(): Promise<void> {
    const { redis } = this.#deps
    const look = () => void this.#renew()
    this.#unsubscribe = await redis.subscribe(channel, { heard: look, lost: look })
    await this.#renew()
    await redis.publish(channel, '').catch(() => {}) // they find us when they look
    void this.#keepOn()
  }

  /** The others learn of it at once. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#unsubscribe?.()
    await this.#renewed
    const { redis, advertise } = this.#deps
    const leaving = async () => {
      const [set, about] = keysOf(redis)
      await redis.ask(client => Promise.all([client.zrem(set, advertise), client.hdel(about, advertise)]))
      await redis.publish(channel, '')
    }
    await leaving().catch(() => {}) // it expires
  }

  async #keepOn(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      await this.#deps.clock.sleep(renewEveryMs, signal).catch(() => {}) // the stop ends the loop
      if (!signal.aborted) await this.#renew()
    }
  }

  /** Once more after one that is under way, which may have looked too early. Never rejects. */
  #renew(): Promise<void> {
    this.#renewed = this.#renewed.then(() => (this.#stopping.signal.aborted ? undefined : this.#renewNow()))
    return this.#renewed
  }

  async #renewNow(): Promise<void> {
    const { redis, advertise, site } = this.#deps
    const said = `${this.#process} ${formatSite(site())}`
    try {
      const found = await redis.ask(client =>
        client.eval(renew, 2, ...keysOf(redis), advertise, memberMs, maxMembers, said),
      )
      const [before, names, about] = found as [string | null, string[], (string | null)[]]
      const members = names.map((name, at) => memberOf(name, about[at]))
      this.#take(names.filter(name => name !== advertise))
      this.#lookForNamesakes(memberOf(advertise, before))
      this.#lookForStrangers(members)
    } catch (error) {
      // Who was there is taken to be there still. That Redis is down it has logged itself.
      if (error instanceof RedisRefused)
        this.#complain('Redis refuses to say who the other replicas are', { err: error })
    }
  }

  #take(others: readonly string[]): void {
    const before = new Set(this.#others)
    this.#others = others
    if (others.length !== before.size || others.some(other => !before.has(other)))
      this.#deps.log.info({ replicas: others }, 'the other replicas')
  }

  /** One that is heard again after we spoke lives; a predecessor is heard once. */
  #lookForNamesakes({ process }: Member): void {
    if (process === undefined || process === this.#process) return
    if (!this.#namesakes.has(process)) {
      if (this.#namesakes.size >= maxNamesakes) this.#namesakes.clear()
      this.#namesakes.add(process)
      return
    }
    const { advertise } = this.#deps
    this.#complain(
      'another process has the same `replica.advertise`: give each replica the address at which the others reach it alone',
      { advertise },
    )
  }

  #lookForStrangers(members: readonly Member[]): void {
    const ours = this.#deps.site()
    const strangers = members.filter(({ site }) => site && areApart(ours, site))
    if (strangers.length === 0) return
    this.#complain(
      'replicas with another store use the same Redis and `index.prefix`: give the replicas of each site a prefix of their own',
      {
        store: describeSite(ours),
        others: strangers.map(({ advertise, site }) => ({ advertise, store: site && describeSite(site) })),
      },
    )
  }

  #complain(what: string, about: object): void {
    this.#quiet.say(what, () => this.#deps.log.warn(about, what))
  }
}
