/** A flame graph as an SVG that needs nothing else: the program at the bottom, what it called on top. */
import { type Flame, type Frame, type Kind, selfTimes } from './profile.ts'

const width = 1200
const rowHeight = 18
const headHeight = 66
const lineHeight = 17
const listed = 16
const characterWidth = 6.7
const margin = 10
const leastWidth = 0.6
const colours: Readonly<Record<Kind, string>> = {
  own: '#f6a04d',
  node: '#9cc3e6',
  package: '#c3b1e1',
  native: '#d0d3d8',
}
const legend: readonly [Kind, string][] = [
  ['own', 'Layover'],
  ['package', 'its dependencies'],
  ['node', 'Node’s own JavaScript'],
  ['native', 'no JavaScript'],
]

export interface Caption {
  title: string
  /** How it came about. */
  detail: string
}

export function drawFlame({ root }: Flame, { title, detail }: Caption): string {
  const rows = depthOf(root, root.totalMicros)
  const bottom = headHeight + rows * rowHeight
  const height = bottom + 40 + (listed + 1) * lineHeight
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="11">
<title>${escaped(title)}</title>
<rect width="100%" height="100%" fill="#ffffff"/>
${text(margin, 22, title, 'font-size="16" font-weight="600"')}
${text(margin, 40, detail, 'fill="#555555"')}
${drawLegend().join('\n')}
${drawFrame(root, { left: margin, bottom, scale: (width - 2 * margin) / root.totalMicros, all: root.totalMicros }).join('\n')}
${drawList(root, bottom + 28).join('\n')}
</svg>
`
}

function drawLegend(): string[] {
  const items = legend.flatMap(([kind, what], at) => [
    rect(margin + at * 160, 48, 12, { fill: colours[kind] }),
    text(margin + 16 + at * 160, 59, what, 'fill="#555555"'),
  ])
  const how = 'Width: time. What has nothing on top of it is the function’s own.'
  return [...items, text(margin + legend.length * 160, 59, how, 'fill="#555555"')]
}

interface Place {
  left: number
  bottom: number
  /** Pixels of a µs. */
  scale: number
  all: number
}

function drawFrame(frame: Frame, place: Place): string[] {
  const { left, bottom, scale, all } = place
  const wide = frame.totalMicros * scale
  if (wide < leastWidth) return []
  const top = bottom - rowHeight
  const share = (micros: number) => `${((micros / all) * 100).toFixed(1)} %`
  const tip = `${labelOf(frame)}: ${share(frame.totalMicros)}, itself ${share(frame.selfMicros)}`
  const drawn = [
    `<g><title>${escaped(tip)}</title>${rect(left, top, wide - 0.4, { fill: colours[frame.kind], height: rowHeight - 1 })}${labelIn(frame, left, top, wide)}</g>`,
  ]
  let at = left
  for (const child of frame.children) {
    drawn.push(...drawFrame(child, { ...place, left: at, bottom: top }))
    at += child.totalMicros * scale
  }
  return drawn
}

function labelIn(frame: Frame, left: number, top: number, wide: number): string {
  const room = Math.floor((wide - 6) / characterWidth)
  if (room < 4) return ''
  const whole = labelOf(frame)
  const shown =
    [whole, frame.name].find(({ length }) => length <= room) ?? `${frame.name.slice(0, room - 1)}…`
  return text(left + 3, top + 12.5, shown, '')
}

function labelOf({ name, where }: Frame): string {
  return where === '' ? name : `${name} · ${where}`
}

function drawList(root: Frame, top: number): string[] {
  const longest = selfTimes(root).slice(0, listed)
  const lines = longest.flatMap((frame, at) => {
    const y = top + (at + 1) * lineHeight
    const share = (frame.selfMicros / root.totalMicros) * 100
    return [
      rect(56, y - 10, share * 4, { fill: colours[frame.kind] }),
      text(50, y, `${share.toFixed(1)} %`, 'text-anchor="end"'),
      text(62 + share * 4, y, labelOf(frame), ''),
    ]
  })
  return [
    text(margin, top, 'Own time of functions, wherever they were called', 'font-weight="600"'),
    ...lines,
  ]
}

/** Of what is wide enough to be seen. */
function depthOf({ totalMicros, children }: Frame, all: number): number {
  if ((totalMicros / all) * width < leastWidth) return 0
  return 1 + Math.max(0, ...children.map(child => depthOf(child, all)))
}

function rect(x: number, y: number, wide: number, { fill, height = 12 }: { fill: string; height?: number }) {
  return `<rect x="${x.toFixed(1)}" y="${y}" width="${Math.max(0.3, wide).toFixed(1)}" height="${height}" fill="${fill}"/>`
}

function text(x: number, y: number, content: string, style: string): string {
  return `<text x="${x.toFixed(1)}" y="${y}"${style === '' ? '' : ` ${style}`}>${escaped(content)}</text>`
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
