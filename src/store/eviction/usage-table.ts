/**
 * What is known of the use of each cached blob, in a SQLite file of its own, in the order in which they would go. It can
 * be lost: it is made anew from the files. Which of them have a row here is what the totals rest on, so a row is written
 * before its file gets its name and removed after it has lost it.
 */
import { readFileSync, rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { type Algorithm, type Digest, hexOf } from '../../oci/digest.ts'
import { rankOf, type Usage } from './policy.ts'

export interface UsageRow extends Usage {
  readonly digest: Digest
  /** The registry that it was first fetched from; empty where that is forgotten. */
  readonly owner: string
}

export interface Total {
  readonly bytes: number
  readonly blobs: number
}

const schemaVersion = 1

/** Totals are part of each change, so that no start has to add up. */
const schema = `
  CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, bytes INTEGER NOT NULL, blobs INTEGER NOT NULL) STRICT;
  CREATE TABLE blob (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    owner INTEGER NOT NULL,
    size INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    counted_at INTEGER NOT NULL,
    rank INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX by_rank ON blob (rank);
  CREATE INDEX by_owner ON blob (owner, rank);
  CREATE TRIGGER added AFTER INSERT ON blob BEGIN
    UPDATE owner SET bytes = bytes + new.size, blobs = blobs + 1 WHERE id = new.owner;
  END;
  CREATE TRIGGER removed AFTER DELETE ON blob BEGIN
    UPDATE owner SET bytes = bytes - old.size, blobs = blobs - 1 WHERE id = old.owner;
  END;
  CREATE TRIGGER resized AFTER UPDATE OF size, owner ON blob BEGIN
    UPDATE owner SET bytes = bytes - old.size, blobs = blobs - 1 WHERE id = old.owner;
    UPDATE owner SET bytes = bytes + new.size, blobs = blobs + 1 WHERE id = new.owner;
  END;
  CREATE TABLE life (boot TEXT NOT NULL, clean INTEGER NOT NULL) STRICT;
  PRAGMA user_version = ${schemaVersion};
`

/** Tells one run of the machine from another; undefined where the system does not say. */
function bootId(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return undefined
  }
}

const inMemory = ':memory:'
const pageRows = 64

export interface Ranked {
  readonly owner?: string | undefined
  readonly from?: number
  readonly to?: number
}

export class UsageTable {
  /** Every cached file has its row: the table was closed by who had it last. */
  readonly isComplete: boolean
  readonly #db: DatabaseSync
  readonly #statements: ReturnType<typeof prepare>
  readonly #owners = new Map<string, number>()

  /**
   * A table that cannot be used is made anew, in memory where the disk takes none.
   *
   * @param lost told why
   */
  static open(path: string, lost: (error: unknown) => void = () => {}): UsageTable {
    try {
      return new UsageTable(path)
    } catch (error) {
      lost(error)
      return UsageTable.#anew(path)
    }
  }

  static #anew(path: string): UsageTable {
    try {
      removeTable(path)
      return new UsageTable(path)
    } catch {
      return new UsageTable(inMemory)
    }
  }

  /** @throws what SQLite throws; an Error for a table that a machine's crash may have torn */
  private constructor(path: string) {
    this.#db = new DatabaseSync(path, { timeout: 0 })
    try {
      this.#db.exec('PRAGMA journal_mode = WAL; PRAGMA locking_mode = EXCLUSIVE')
      const isNew = this.#db.prepare('SELECT 1 FROM sqlite_schema').get() === undefined
      if (isNew) this.#db.exec(`BEGIN; ${schema} COMMIT`)
      this.isComplete = beginLife(this.#db)
      this.#statements = prepare(this.#db)
      for (const { id, name } of this.#db.prepare('SELECT id, name FROM owner').all())
        this.#owners.set(String(name), Number(id))
    } catch (error) {
      this.#db.close()
      throw error
    }
  }

  find(digest: Digest): UsageRow | undefined {
    const row = this.#statements.find.get(keyOf(digest))
    return row && rowOf(row)
  }

  put(row: UsageRow): void {
    const { digest, owner, sizeBytes, usedAt, uses, countedAt } = row
    const whole = [sizeBytes, usedAt, uses, countedAt, rankOf(row)].map(Math.round)
    this.#statements.put.run(keyOf(digest), this.#ownerId(owner), ...whole)
  }

  remove(digest: Digest): void {
    this.#statements.remove.run(keyOf(digest))
  }

  /** What a use changes. */
  touch(row: UsageRow): void {
    const { digest, usedAt, uses, countedAt } = row
    this.#statements.touch.run(...[usedAt, uses, countedAt, rankOf(row)].map(Math.round), keyOf(digest))
  }

  /**
   * In the order in which they go, page by page: rows may change and vanish meanwhile.
   *
   * @param ranked of one owner; ranks of the first and of the last, inclusive
   */
  *ranked({
    owner,
    from = 0,
    to = Number.MAX_SAFE_INTEGER,
  }: Ranked = {}): Generator<readonly UsageRow[], void, undefined> {
    const { page, pageOf } = this.#statements
    const id = owner === undefined ? undefined : (this.#owners.get(owner) ?? -1)
    let after = { rank: Math.round(from), id: -1 }
    for (let rows: Row[] | undefined; rows === undefined || rows.length === pageRows; ) {
      rows = id === undefined ? page.all(after.rank, after.id, to) : pageOf.all(id, after.rank, after.id, to)
      const last = rows.at(-1)
      if (last) after = { rank: Number(last.rank), id: Number(last.id) }
      yield rows.map(rowOf)
    }
  }

  /** Those of one shard folder of the store. */
  shard(algorithm: Algorithm, prefix: string): readonly Digest[] {
    const from = Buffer.from(prefix, 'hex')
    const to = Buffer.from([...from.subarray(0, -1), (from.at(-1) ?? 0) + 1])
    const after = prefix === 'ff' ? Buffer.alloc(65, 0xff) : to
    const rows = this.#statements.shard.all(from, after)
    return rows.map(({ digest }) => digestOfKey(digest)).filter(digest => digest.startsWith(algorithm))
  }

  totals(): ReadonlyMap<string, Total> {
    const rows = this.#statements.totals.all()
    return new Map(
      rows.map(({ name, bytes, blobs }) => [String(name), { bytes: Number(bytes), blobs: Number(blobs) }]),
    )
  }

  /** All of the changes, or none. */
  atOnce(change: () => void): void {
    this.#db.exec('BEGIN')
    try {
      change()
      this.#db.exec('COMMIT')
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      throw error
    }
  }

  /** @param complete every cached file has its row: the next to open it need not count */
  close(complete: boolean): void {
    try {
      if (complete) this.#db.exec('PRAGMA synchronous = FULL; UPDATE life SET clean = 1')
    } catch {
      // a full disk: the next to open it counts
    } finally {
      this.#db.close()
    }
  }

  #ownerId(name: string): number {
    const known = this.#owners.get(name)
    if (known !== undefined) return known
    const id = Number(this.#statements.addOwner.run(name).lastInsertRowid)
    this.#owners.set(name, id)
    return id
  }
}

/**
 * The rows are not synced: what this process wrote, its death cannot take, but a crash of the machine can tear the file.
 *
 * @returns whether it was closed cleanly
 */
function beginLife(db: DatabaseSync): boolean {
  const version = Number(db.prepare('PRAGMA user_version').get()?.user_version)
  if (version !== schemaVersion) throw new Error(`schema ${version} where ${schemaVersion} is expected`)
  const boot = bootId()
  const last = db.prepare('SELECT boot, clean FROM life').get()
  const isClean = last?.clean === 1
  if (last !== undefined && !isClean && (boot === undefined || last.boot !== boot))
    throw new Error('the machine stopped while the table was written')
  db.exec('PRAGMA synchronous = FULL; BEGIN; DELETE FROM life')
  db.prepare('INSERT INTO life VALUES (?, 0)').run(boot ?? '')
  db.exec('COMMIT; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA synchronous = OFF')
  return isClean
}

function removeTable(path: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${path}${suffix}`, { force: true })
}

function prepare(db: DatabaseSync) {
  const columns = 'blob.id, blob.digest, owner.name AS owner, size, used_at, uses, counted_at, rank'
  const inOrder = `ORDER BY rank, blob.id LIMIT ${pageRows}`
  const joined = `SELECT ${columns} FROM blob JOIN owner ON owner.id = blob.owner`
  return {
    find: db.prepare(`${joined} WHERE digest = ?`),
    put: db.prepare(`INSERT INTO blob (digest, owner, size, used_at, uses, counted_at, rank) VALUES (?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (digest) DO UPDATE SET owner = excluded.owner, size = excluded.size, used_at = excluded.used_at,
      uses = excluded.uses, counted_at = excluded.counted_at, rank = excluded.rank`),
    remove: db.prepare('DELETE FROM blob WHERE digest = ?'),
    touch: db.prepare('UPDATE blob SET used_at = ?, uses = ?, counted_at = ?, rank = ? WHERE digest = ?'),
    page: db.prepare(`${joined} WHERE (rank, blob.id) > (?, ?) AND rank <= ? ${inOrder}`),
    pageOf: db.prepare(
      `${joined} WHERE blob.owner = ? AND (rank, blob.id) > (?, ?) AND rank <= ? ${inOrder}`,
    ),
    shard: db.prepare('SELECT digest FROM blob WHERE digest >= ? AND digest < ?'),
    totals: db.prepare('SELECT name, bytes, blobs FROM owner'),
    addOwner: db.prepare('INSERT INTO owner (name, bytes, blobs) VALUES (?, 0, 0)'),
  }
}

type Row = Record<string, unknown>

function rowOf({ digest, owner, size, used_at, uses, counted_at }: Row): UsageRow {
  return {
    digest: digestOfKey(digest),
    owner: String(owner),
    sizeBytes: Number(size),
    usedAt: Number(used_at),
    uses: Number(uses),
    countedAt: Number(counted_at),
  }
}

/** The bytes of the hash: its length tells the algorithm. */
function keyOf(digest: Digest): Buffer {
  return Buffer.from(hexOf(digest), 'hex')
}

function digestOfKey(key: unknown): Digest {
  const hash = Buffer.from(key as Uint8Array)
  return `${hash.length === 64 ? 'sha512' : 'sha256'}:${hash.toString('hex')}` as Digest
}
