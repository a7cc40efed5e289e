import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { drawFlame } from '../../../bench/flame/drawing.ts'
import { fold, selfTimes } from '../../../bench/flame/profile.ts'

const project = new URL('../../../', import.meta.url)
const inProject = (path: string) => new URL(path, project).href
const always = { fromMicros: 0, toMicros: Number.POSITIVE_INFINITY }

function node(id: number, functionName: string, url: string, children: number[] = []) {
  return { id, callFrame: { functionName, url }, children }
}

/** 10 µs each: idle, a function of ours alone, twice what it calls, native work. */
const profile = JSON.stringify({
  nodes: [
    node(1, '(root)', '', [2, 3, 7]),
    node(2, '(idle)', ''),
    node(3, 'answer', inProject('src/edge/answer.ts'), [4, 5, 6]),
    node(4, 'emit', 'node:events'),
    node(5, 'emit', 'node:events'),
    node(6, 'LOG', inProject('node_modules/pino/lib/tools.js')),
    node(7, '(program)', ''),
  ],
  startTime: 100,
  samples: [2, 3, 4, 5, 6, 7, 7],
  timeDeltas: [0, 10, 10, 10, 10, 10, 10],
})

describe('a profile is folded', () => {
  test('into totals and own times, without what was idle', () => {
    const { root, idleMicros } = fold(profile, always)
    expect(idleMicros).toBe(10)
    expect(root.totalMicros).toBe(50)
    expect(root.children[0]).toMatchObject({ name: 'answer', selfMicros: 10, totalMicros: 40 })
  })

  test('so that calls of one function from one place are one frame', () => {
    const [answer] = fold(profile, always).root.children
    expect(answer?.children).toMatchObject([
      { name: 'emit', where: 'node:events', kind: 'node', totalMicros: 20 },
      { name: 'LOG', where: 'pino/lib/tools.js', kind: 'package', totalMicros: 10 },
    ])
  })

  test('with files as they are called in the project', () => {
    expect(fold(profile, always).root.children[0]).toMatchObject({ where: 'src/edge/answer.ts', kind: 'own' })
  })

  test('to what was sampled in a span', () => {
    const { root, idleMicros } = fold(profile, { fromMicros: 105, toMicros: 125 })
    expect(idleMicros).toBe(0)
    expect(root.totalMicros).toBe(20)
  })

  test('and lists functions by their own time, wherever they were called', () => {
    expect(selfTimes(fold(profile, always).root)[0]).toMatchObject({ name: 'emit', selfMicros: 20 })
  })
})

describe('a flame graph', () => {
  const drawing = drawFlame(fold(profile, always), { title: 'one & <two>', detail: 'how' })

  test('names functions, files and shares, and no path of this machine', () => {
    expect(drawing).toContain('answer · src/edge/answer.ts: 80.0 %, itself 20.0 %')
    expect(drawing).toContain('outside JavaScript')
    expect(drawing).not.toContain(fileURLToPath(project))
  })

  test('needs no script and no other file', () => {
    expect(drawing).not.toMatch(/<script|href=|url\(/)
    expect(drawing).toContain('<title>one &amp; &lt;two&gt;</title>')
  })
})
