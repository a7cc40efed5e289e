/** A run on paper: lines and tables for the terminal, JSON for programs, Markdown and a picture for the documentation. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, totalmem } from 'node:os'
import { GiB } from './content.ts'
import type { Compared, Figure } from './figure.ts'
import { draw } from './peers/picture.ts'
import { ours } from './peers/stand.ts'
import { summaryOf, tablesOf } from './peers/table.ts'

const results = new URL('results/', import.meta.url)

export interface RowFigure extends Figure {
  row: string
}

export interface Setting {
  built: boolean
  quick: boolean
}

export function print(row: string, figures: readonly Figure[]): void {
  for (const { figure, goal, measured, reached, compared } of figures) {
    if (compared) continue
    const verdict = reached === undefined ? '' : { true: 'reached', false: 'MISSED' }[`${reached}`]
    console.log(`${row.padEnd(16)} ${figure.padEnd(56)} ${goal.padEnd(44)} ${verdict?.padEnd(8)} ${measured}`)
  }
  const compared = comparedIn(figures)
  if (compared.length > 0) console.log(`\n${tablesOf(compared)}\n`)
}

/** Below `bench/results/`; resolves with the names of the files. */
export function save(report: readonly RowFigure[], setting: Setting): string[] {
  const at = new Date().toISOString()
  const machine = {
    cpu: cpus()[0]?.model,
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / GiB),
    node: process.version,
  }
  const compared = comparedIn(report)
  const picture = draw(
    compared,
    `${at.slice(0, 10)}, ${machine.cpu}, Node ${machine.node}${setting.quick ? ', one short round, which says nothing' : ''}: rates as shares of the black line's, the goal in red`,
  )
  const kinds = {
    json: `${JSON.stringify({ at, ...machine, ...setting, report }, undefined, 2)}\n`,
    md: compared.length > 0 ? `${summaryOf(compared, ours)}\n\n${tablesOf(compared)}\n` : undefined,
    svg: picture,
  }
  mkdirSync(results, { recursive: true })
  return Object.entries(kinds).flatMap(([kind, content]) => {
    if (content === undefined) return []
    const name = `${at.replaceAll(':', '-')}.${kind}`
    writeFileSync(new URL(name, results), content)
    return `bench/results/${name}`
  })
}

function comparedIn(figures: readonly Figure[]): Compared[] {
  return figures.flatMap(({ compared }) => compared ?? [])
}
