/** The comparison as a picture: a group of bars for each work, as long as a server's rate is to that of the measure. */
import { type Compared, median } from '../figure.ts'

const width = 860
const nameWidth = 170
const barLeft = nameWidth + 10
const unitWidth = 400
const barHeight = 15
const rowHeight = 20
const titleHeight = 30
const longest = 1.25
/** By how a name begins; the first that fits. */
const colours: readonly [string, string][] = [
  ['Layover, proxied', '#79b0ff'],
  ['Layover', '#1f6feb'],
  ['distribution', '#d98a3d'],
  ['docker-registry', '#e3b341'],
  ['zot', '#8957e5'],
  ['angos', '#2da44e'],
]
const otherColour = '#8a8f98'

/** SVG; nothing where there is nothing to be compared. */
export function draw(compared: readonly Compared[], caption: string): string | undefined {
  const works = Map.groupBy(
    compared.filter(({ ratios }) => ratios.length > 0),
    ({ work }) => work,
  )
  if (works.size === 0) return undefined
  const parts: string[] = []
  let top = 34
  for (const [work, all] of works) {
    parts.push(...group(work, all, top))
    top += titleHeight + all.length * rowHeight
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${top + 16}" viewBox="0 0 ${width} ${top + 16}" font-family="system-ui, sans-serif" font-size="12">
<title>Rates of Layover and of other registries, as shares of what is the measure</title>
<rect width="100%" height="100%" fill="#ffffff"/>
${text(10, 20, caption, 'fill="#555555"')}
${parts.join('\n')}
</svg>
`
}

function group(work: string, all: readonly Compared[], top: number): string[] {
  const first = top + titleHeight
  const bottom = first + all.length * rowHeight - 4
  const goal = all.find(({ goal: wanted }) => wanted !== undefined)?.goal
  const line = (at: number, style: string) =>
    `<line x1="${barLeft + at * unitWidth}" x2="${barLeft + at * unitWidth}" y1="${first - 4}" y2="${bottom}" ${style}/>`
  const yOf = (at: number) => first + at * rowHeight
  return [
    text(10, top + 18, `${work} (1.00: ${all[0]?.against})`, 'font-weight="600" fill="#111111"'),
    ...all.map((compared, at) => bar(compared, yOf(at))),
    line(1, 'stroke="#111111" stroke-width="1"'),
    ...(goal === undefined ? [] : [line(goal, 'stroke="#cf222e" stroke-width="1.5" stroke-dasharray="3 2"')]),
    ...all.flatMap((compared, at) => labels(compared, yOf(at) + 12)),
  ]
}

function bar(compared: Compared, y: number): string {
  return `<rect x="${barLeft}" y="${y}" width="${lengthOf(compared).toFixed(1)}" height="${barHeight}" fill="${colourOf(compared.server)}"/>`
}

function lengthOf({ ratios }: Compared): number {
  return Math.max(1, Math.min(median(ratios), longest) * unitWidth)
}

/** Readable on the lines too. */
function labels(compared: Compared, y: number): string[] {
  const { server, ratios, rates, unit, p99Ms } = compared
  const rate =
    unit === 'bytes/s'
      ? `${(median(rates) / 1e9).toFixed(2)} GB/s`
      : `${Math.round(median(rates)).toLocaleString('en').replaceAll(',', ' ')}/s`
  const parts = [
    median(ratios).toFixed(2),
    rate,
    ...(Number.isFinite(p99Ms) ? [`p99 ${p99Ms.toFixed(1)} ms`] : []),
  ]
  const style = 'fill="#333333" paint-order="stroke" stroke="#ffffff" stroke-width="3"'
  return [
    text(barLeft - 8, y, server, 'text-anchor="end" fill="#333333"'),
    text(barLeft + lengthOf(compared) + 6, y, parts.join(' · '), style),
  ]
}

function colourOf(server: string): string {
  return colours.find(([name]) => server.startsWith(name))?.[1] ?? otherColour
}

function text(x: number, y: number, content: string, style: string): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return `<text x="${x.toFixed(1)}" y="${y}" ${style}>${escaped}</text>`
}
