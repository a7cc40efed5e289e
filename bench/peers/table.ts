/** The comparison as tables in Markdown, padded so that they can be read as they are: one for each work, and one of all. */
import { MiB } from '../content.ts'
import { type Compared, median, spread } from '../figure.ts'

/** One server a line; nothing where nothing was compared. */
export function tablesOf(compared: readonly Compared[]): string {
  const works = Map.groupBy(compared, ({ work }) => work)
  return [...works].map(([work, all]) => `${titleOf(work, all)}\n\n${tableOf(all)}`).join('\n\n')
}

/** One work a line, Layover and the others as shares of the one that is the measure. */
export function summaryOf(compared: readonly Compared[], ours: string): string {
  const works = Map.groupBy(compared, ({ work }) => work)
  const servers = [...new Set(compared.map(({ server }) => server))]
  const rows = [...works].map(([work, all]) => {
    const own = all.find(({ server }) => server === ours)
    const ratios = servers.map(name => ratioOf(all.find(({ server }) => server === name)))
    return [work, own?.against ?? '', goalOf(own), ...ratios, number(own?.cpuRatio, 2)]
  })
  return table([['work', '1.00 is', 'goal', ...servers, `${ours}, per CPU second`], ...rows])
}

function titleOf(work: string, all: readonly Compared[]): string {
  const judged = all.find(({ goal }) => goal !== undefined)
  if (judged?.goal === undefined || judged.ratios.length === 0) return `### ${work}`
  const verdict = median(judged.ratios) >= judged.goal ? 'reached' : 'MISSED'
  return `### ${work}: ${judged.server} ≥ ${judged.goal} × ${judged.against}, ${verdict}`
}

function tableOf(all: readonly Compared[]): string {
  const { against = '', unit = 'requests/s' } = all[0] ?? {}
  const head = [
    'server',
    `/ ${against}`,
    unit === 'bytes/s' ? 'GB/s' : unit,
    'p50 ms',
    'p99 ms',
    'CPU µs/request',
    'CPU s/GiB',
    `per CPU s / ${against}`,
    'MiB',
    'client busy',
  ]
  return table([head, ...all.map(lineOf)])
}

function lineOf(compared: Compared): string[] {
  const isBytes = compared.unit === 'bytes/s'
  const rates = compared.rates.map(rate => (isBytes ? rate / 1e9 : rate))
  return [
    compared.server,
    compared.ratios.length === 0 ? '' : spread(compared.ratios, 2),
    spread(rates, isBytes ? 2 : 0),
    number(compared.p50Ms, 2),
    number(compared.p99Ms, 2),
    number(compared.cpuMicrosPerRequest, 1),
    number(compared.cpuSecondsPerGiB, 2),
    number(compared.cpuRatio, 2),
    number(compared.memoryBytes / MiB, 0),
    number(compared.clientBusy, 2),
  ]
}

function goalOf(compared: Compared | undefined): string {
  return compared?.goal === undefined ? '' : `≥ ${compared.goal}`
}

function ratioOf(compared: Compared | undefined): string {
  return number(compared && median(compared.ratios), 2)
}

/** Empty: there is none, as of the CPU for a GiB of answers without bodies. */
function number(value: number | undefined, digits: number): string {
  return value === undefined || !Number.isFinite(value) ? '' : value.toFixed(digits)
}

/** The first row is the head. */
function table(rows: readonly string[][]): string {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map(row => row[at]?.length ?? 0)))
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join(' | ')} |`
  const rule = `|${widths.map((width, at) => (at === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`
  const [head = [], ...body] = rows
  return [line(head), rule, ...body.map(line)].join('\n')
}
