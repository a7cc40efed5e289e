/** Durations and sizes as people write them: `5m`, `forever`, `4MiB`. */

const durationUnits = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const sizeUnits = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 }

/** Milliseconds, `Infinity` for `forever`; undefined for what is no duration. A bare 0 needs no unit. */
export function parseDuration(text: string): number | undefined {
  if (text === 'forever') return Number.POSITIVE_INFINITY
  if (text === '0') return 0
  return parse(text, durationUnits)
}

export function formatDuration(ms: number): string {
  return ms === Number.POSITIVE_INFINITY ? 'forever' : format(ms, durationUnits, 's')
}

/** Bytes; undefined for what is no size. A bare number is bytes. */
export function parseSize(text: string): number | undefined {
  return parse(/^\d+$/.test(text) ? `${text}B` : text, sizeUnits)
}

export function formatSize(bytes: number): string {
  return format(bytes, sizeUnits, 'B')
}

/** For people: three digits, in the largest unit that leaves something before the point. */
export function roundedSize(bytes: number): string {
  const units = Object.keys(sizeUnits)
  const nth = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  const value = bytes / 2 ** (10 * nth)
  return `${nth === 0 ? value : value.toFixed(value < 100 ? 1 : 0)} ${units[nth] ?? ''}`
}

function parse(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const [, amount = '', unit = ''] = /^(\d+)([a-zA-Z]+)$/.exec(text) ?? []
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined
  if (factor === undefined) return undefined
  const value = Number(amount) * factor
  return Number.isSafeInteger(value) ? value : undefined
}

/** In the largest unit that leaves no remainder. */
function format(value: number, units: Readonly<Record<string, number>>, unitOfZero: string): string {
  if (value === 0) return `0${unitOfZero}`
  const exact = Object.entries(units).findLast(([, factor]) => value % factor === 0)
  const [unit, factor] = exact ?? ['', 1]
  return `${value / factor}${unit}`
}
