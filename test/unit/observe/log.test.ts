/** The log: JSON lines without secrets. */
import { describe, expect, test } from 'vitest'
import { createLogger, type logLevels } from '../../../src/observe/log.ts'

function logger(level: (typeof logLevels)[number] = 'info') {
  const lines: string[] = []
  return { log: createLogger(level, { write: line => lines.push(line) }), lines }
}

describe('log', () => {
  test('an event is one line of JSON with time, level and message', () => {
    const { log, lines } = logger()
    log.info({ path: '/v2/\nforged' }, 'request')
    expect(lines).toHaveLength(1)
    expect(lines[0]?.trimEnd()).not.toContain('\n')
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      path: '/v2/\nforged',
      msg: 'request',
    })
  })

  test.each([
    { password: 'hunter2' },
    { token: 'hunter2' },
    { authorization: 'Basic hunter2' },
    { headers: { authorization: 'Basic hunter2' } },
    { credential: { username: 'me', password: 'hunter2' } },
    { grant: { token: 'hunter2' } },
  ])('secrets do not reach the line: %o', fields => {
    const { log, lines } = logger()
    log.error(fields, 'refused')
    expect(lines.join('')).not.toContain('hunter2')
    expect(lines.join('')).toContain('refused')
  })

  test('nothing below its level is written', () => {
    const { log, lines } = logger('warn')
    log.info('quiet')
    log.warn('loud')
    expect(lines).toHaveLength(1)
    const silent = logger('silent')
    silent.log.fatal('nothing')
    expect(silent.lines).toEqual([])
  })
})
