/** The kinds of value that the configuration is made of, as zod types that say what they expect. */
import { z } from 'zod'
import { FormInvalid } from './address-forms.ts'
import { parseDuration, parseSize } from './quantity.ts'

declare module 'zod' {
  interface GlobalMeta {
    /** The kind of value, for people. */
    form?: string
    /** The default, where it is no constant. */
    fallback?: string
  }
}

/** A text whose parser throws FormInvalid for what is not of its form. */
export function text<T>(form: string, parse: (text: string) => T) {
  return z
    .string()
    .transform((input, context) => {
      try {
        return parse(input)
      } catch (error) {
        if (!(error instanceof FormInvalid)) throw error
        context.issues.push({ code: 'custom', message: `expected ${error.message}`, input })
        return z.NEVER
      }
    })
    .meta({ form })
}

interface Bounds {
  min?: number
  max?: number
}

const dayMs = 86_400_000

/** Milliseconds, `Infinity` for `forever`. */
export const lifetime = quantity(
  'duration or `forever`',
  'a duration such as 250ms, 5s, 5m, 1h, 7d or forever',
  parseDuration,
)

/** Of what would never get anywhere with no time at all. */
export const positiveLifetime = quantity(
  'duration or `forever`',
  'a duration such as 250ms, 5s, 5m, 1h, 7d or forever, more than 0',
  parseDuration,
  { min: 1 },
)

/** Milliseconds of a timer. */
export function timer({ min = 1 }: { min?: number } = {}) {
  const expected = `a duration such as 250ms, 5s or 5m, ${min > 0 ? 'more than 0 and ' : ''}at most 1d`
  return quantity('duration', expected, parseDuration, { min, max: dayMs })
}

/** Bytes. */
export function size(bounds: Bounds = {}) {
  return quantity(
    'size',
    `a size such as 64KiB, 4MiB, 50GiB or 1000${(bounds.min ?? 0) > 0 ? ', more than 0' : ''}`,
    parseSize,
    bounds,
  )
}

/** `1000` and `0` are numbers for YAML: they are taken for their digits. */
export function amount<T>(form: string, parse: (text: string) => T) {
  const digits = (input: unknown) => (typeof input === 'number' ? String(input) : input)
  return z.preprocess(digits, text(form, parse)).meta({ form })
}

function quantity(
  form: string,
  expected: string,
  parse: (text: string) => number | undefined,
  bounds: Bounds = {},
) {
  const { min = 0, max = Number.POSITIVE_INFINITY } = bounds
  return amount(form, given => {
    const value = parse(given)
    if (value === undefined || value < min || value > max) throw new FormInvalid(expected)
    return value
  })
}

export function count(max: number) {
  return z.int().min(1).max(max).meta({ form: 'number' })
}

export function choice<const T extends readonly [string, ...string[]]>(values: T) {
  return z.enum(values).meta({ form: values.map(value => `\`${value}\``).join(', ') })
}

export const flag = z.boolean().meta({ form: '`true`, `false`' })

export function list<T extends z.ZodType>(item: T) {
  return z.array(item).meta({ form: `list (${item.meta()?.form ?? 'keys'})` })
}
