/** The SQLite file of the index, opened for reading beside the process that writes it. No lock is waited for. */
import { DatabaseSync } from 'node:sqlite'
import { assertSchema, prepareReads, rowsOf, textOf } from './index-file.ts'
import type { NamedValue } from './rows.ts'

/** Everything throws what SQLite throws. */
export class IndexFileReader {
  readonly #db: DatabaseSync
  readonly #statements: ReturnType<typeof prepare>

  constructor(path: string) {
    this.#db = new DatabaseSync(path, { readOnly: true, timeout: 0 })
    try {
      assertSchema(this.#db)
      this.#statements = prepare(this.#db)
    } catch (error) {
      this.#db.close()
      throw error
    }
  }

  get(scope: string, name: string): string | undefined {
    return textOf(this.#statements.get.get(scope, name))
  }

  page(scope: string, after: string, limit: number): NamedValue[] {
    return rowsOf(this.#statements.page.all(scope, after, limit))
  }

  /** The task reads of one moment: without it the writer may come in between any two reads. */
  atOnce<T>(task: () => T): T {
    this.#statements.begin.run()
    try {
      return task()
    } finally {
      if (this.#db.isOpen && this.#db.isTransaction) this.#statements.end.run()
    }
  }

  close(): void {
    this.#db.close()
  }
}

function prepare(db: DatabaseSync) {
  return { ...prepareReads(db), begin: db.prepare('BEGIN'), end: db.prepare('COMMIT') }
}
