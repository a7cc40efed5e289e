/** The comparison as a picture: a group of bars for each work, as long as a server's rate is to nginx's. */
import { type Compared, median } from '../figure.ts'

const width = 860
const nameWidth = 170
const barLeft = nameWidth + 10
const unitWidth = 420
const barHeight = 15
const rowHeight = 20
const titleHeight = 30
const longest = 1.25
const colours = ['#8a8f98', '#1f6feb', '#79b0ff', '#d98a3d', '#e3b341', '#8957e5', '#2da44e']

/** SVG; nothing where there is nothing to be compared. */
export function draw(compared: readonly Compared[], caption: string): string | undefined {
  const works = Map.groupBy(
    compared.filter(({ ratios }) => ratios.length > 0),
    ({ work }) => work,
  )
  if (works.size === 0) return undefined
  const servers = [...new Set(compared.map(({ server }) => server))]
  const parts: string[] = []
  let top = 34
  for (const [work, all] of works) {
    parts.push(...group(work, all, { top, servers }))
    top += titleHeight + all.length * rowHeight
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${top + 16}" viewBox="0 0 ${width} ${top + 16}" font-family="system-ui, sans-serif" font-size="12">
<title>Rates of Layover and of other registries, as shares of nginx</title>
<rect width="100%" height="100%" fill="#ffffff"/>
${text(10, 20, caption, 'fill="#555555"')}
${parts.join('\n')}
</svg>
`
}

function group(
  work: string,
  all: readonly Compared[],
  { top, servers }: { top: number; servers: readonly string[] },
): string[] {
  const first = top + titleHeight
  const bottom = first + all.length * rowHeight - 4
  const goal = all.find(({ goal: wanted }) => wanted !== undefined)?.goal
  const line = (at: number, style: string) =>
    `<line x1="${barLeft + at * unitWidth}" x2="${barLeft + at * unitWidth}" y1="${first - 4}" y2="${bottom}" ${style}/>`
  return [
    text(10, top + 18, work, 'font-weight="600" fill="#111111"'),
    ...all.flatMap((compared, at) => bar(compared, first + at * rowHeight, colourOf(compared, servers))),
    line(1, 'stroke="#111111" stroke-width="1"'),
    ...(goal === undefined ? [] : [line(goal, 'stroke="#cf222e" stroke-width="1.5" stroke-dasharray="3 2"')]),
  ]
}

function bar({ server, ratios, rates, unit, p99Ms }: Compared, y: number, colour: string): string[] {
  const ratio = median(ratios)
  const length = Math.max(1, Math.min(ratio, longest) * unitWidth)
  const rate =
    unit === 'bytes/s'
      ? `${(median(rates) / 1e9).toFixed(2)} GB/s`
      : `${Math.round(median(rates)).toLocaleString('en').replaceAll(',', ' ')}/s`
  const label = `${ratio.toFixed(2)} · ${rate} · p99 ${p99Ms.toFixed(1)} ms`
  return [
    text(barLeft - 8, y + 12, server, 'text-anchor="end" fill="#333333"'),
    `<rect x="${barLeft}" y="${y}" width="${length.toFixed(1)}" height="${barHeight}" fill="${colour}"/>`,
    text(
      barLeft + length + 6,
      y + 12,
      label,
      'fill="#333333" paint-order="stroke" stroke="#ffffff" stroke-width="3"',
    ),
  ]
}

function colourOf({ server }: Compared, servers: readonly string[]): string {
  return colours[servers.indexOf(server) % colours.length] ?? '#8a8f98'
}

function text(x: number, y: number, content: string, style: string): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return `<text x="${x.toFixed(1)}" y="${y}" ${style}>${escaped}</text>`
}
