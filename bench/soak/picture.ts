/** A soak as a picture: one panel a figure, from the start to the end. */
import { MiB } from '../content.ts'
import type { Line } from './report.ts'

const width = 860
const panelHeight = 120
const gap = 46
const left = 60
const right = 30

interface Panel {
  readonly title: string
  readonly of: (line: Line) => number
  /** A line that is not to be crossed. */
  readonly limit?: number
}

export function drawLines(
  lines: readonly Line[],
  { capBytes, caption }: { capBytes: number; caption: string },
): string {
  const panels: Panel[] = [
    { title: 'memory of all processes (PSS), MiB', of: line => line.proportionalBytes / MiB },
    { title: 'open descriptors', of: line => line.descriptors },
    {
      title: 'cached bytes on disk, unfinished ones included, MiB; the cap in red',
      of: line => line.diskBytes / MiB,
      limit: capBytes / MiB,
    },
    { title: 'a cached manifest, p99, ms', of: line => line.p99Ms },
    { title: 'bytes that upstream did not have to give, %', of: line => 100 * line.byteHits },
    { title: 'pulls of images a second', of: line => line.pullsPerSecond },
  ]
  const height = 40 + panels.length * (panelHeight + gap)
  const drawn = panels.map((panel, at) => drawPanel(panel, lines, 40 + at * (panelHeight + gap)))
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12">
<title>Layover under mixed load with a full cache, over time</title>
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="10" y="20" fill="#555555">${caption.replaceAll('&', '&amp;').replaceAll('<', '&lt;')}</text>
${drawn.join('\n')}
</svg>
`
}

function drawPanel({ title, of, limit }: Panel, lines: readonly Line[], top: number): string {
  const values = lines.map(of)
  const most = roundUp(Math.max(...values, limit ?? 0, 1e-9))
  const end = Math.max(lines.at(-1)?.seconds ?? 1, 1)
  const bottom = top + 14 + panelHeight
  const x = (seconds: number) => (left + (seconds / end) * (width - left - right)).toFixed(1)
  const y = (value: number) => (bottom - (value / most) * panelHeight).toFixed(1)
  const points = lines.map((line, at) => `${x(line.seconds)},${y(values[at] ?? 0)}`)
  const across = (value: number, style: string) =>
    `<line x1="${left}" x2="${width - right}" y1="${y(value)}" y2="${y(value)}" ${style}/>`
  const label = (value: number) =>
    `<text x="${left - 6}" y="${Number(y(value)) + 4}" text-anchor="end" fill="#555555">${value}</text>`
  const minutes = Array.from({ length: 7 }, (_, at) => (end * at) / 6)
  return [
    `<text x="${left}" y="${top + 6}" font-weight="600" fill="#111111">${title}</text>`,
    ...[0, most / 2, most].flatMap(value => [across(value, 'stroke="#dddddd"'), label(value)]),
    ...(limit === undefined ? [] : [across(limit, 'stroke="#cf222e" stroke-dasharray="3 2"')]),
    `<polyline points="${points.join(' ')}" fill="none" stroke="#1f6feb" stroke-width="1.5"/>`,
    ...minutes.map(
      seconds =>
        `<text x="${x(seconds)}" y="${bottom + 14}" text-anchor="middle" fill="#555555">${(seconds / 60).toFixed(end > 600 ? 0 : 1)} min</text>`,
    ),
  ].join('\n')
}

/** To 1, 2 or 5 of the next lower power of ten, or a multiple of it that fits. */
function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return (Math.ceil((value / power) * 2) / 2) * power
}
