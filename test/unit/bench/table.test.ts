import { describe, expect, test } from 'vitest'
import type { Compared } from '../../../bench/figure.ts'
import { draw } from '../../../bench/peers/picture.ts'
import { summaryOf, tablesOf } from '../../../bench/peers/table.ts'

const nginx: Compared = {
  work: 'manifest by tag',
  server: 'nginx',
  against: 'nginx',
  unit: 'requests/s',
  rates: [100, 200, 300],
  ratios: [1, 1, 1],
  cpuRatio: 1,
  p50Ms: 0.5,
  p99Ms: 1.25,
  cpuMicrosPerRequest: 10,
  cpuSecondsPerGiB: Number.POSITIVE_INFINITY,
  memoryBytes: 8 * 2 ** 20,
  clientBusy: 0.5,
  goal: undefined,
}
const layover: Compared = { ...nginx, server: 'Layover', ratios: [0.8, 0.9, 1], cpuRatio: 0.95, goal: 0.9 }

const cells = (line = '') => line.split('|').map(cell => cell.trim())

describe('the tables of a comparison', () => {
  test('have a line for each server, and say whether the goal was reached', () => {
    const [title, , head, , , line] = tablesOf([nginx, layover]).split('\n')
    expect(title).toBe('### manifest by tag: Layover ≥ 0.9 × nginx, reached')
    expect(cells(head).slice(1, 4)).toEqual(['server', '/ nginx', 'requests/s'])
    expect(cells(line).slice(1, 6)).toEqual(['Layover', '0.90 (0.80–1.00)', '200 (100–300)', '0.50', '1.25'])
  })

  test('leave out what there is not, as the CPU for a GiB of answers without bodies', () => {
    const line = tablesOf([nginx]).split('\n').at(-1)
    expect(line).not.toMatch(/Infinity|NaN/)
  })

  test('give rates and no verdict where the measure is not installed', () => {
    const alone = tablesOf([{ ...layover, ratios: [], cpuRatio: undefined }])
    expect(alone).toContain('200 (100–300)')
    expect(alone).not.toMatch(/reached|MISSED|NaN/)
  })

  test('are summed up, one work a line', () => {
    const line = summaryOf([nginx, layover], 'Layover').split('\n').at(-1)
    expect(cells(line).slice(1, -1)).toEqual(['manifest by tag', 'nginx', '≥ 0.9', '1.00', '0.90', '0.95'])
  })
})

describe('the picture of a comparison', () => {
  test('names work, servers, ratios and the measure', () => {
    const svg = draw([nginx, layover], 'a caption')
    for (const said of ['manifest by tag (1.00: nginx)', 'Layover', '0.90 · 200/s · p99 1.3 ms', 'a caption'])
      expect(svg).toContain(said)
  })

  test('is not drawn where nothing could be compared', () => {
    expect(draw([{ ...layover, ratios: [] }], 'a caption')).toBeUndefined()
  })
})
