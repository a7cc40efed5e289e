/** Errors as clients see them. */
import { describe, expect, test } from 'vitest'
import type { Answer } from '../../../src/edge/answer.ts'
import { errorAnswer } from '../../../src/edge/error-answer.ts'
import type { Facts } from '../../../src/edge/exchange.ts'
import { RegistryError } from '../../../src/oci/errors.ts'
import { UpstreamError } from '../../../src/upstream/upstream-error.ts'

const bodyOf = ({ content }: Answer): unknown =>
  content.kind === 'buffer' ? JSON.parse(content.buffer.toString()) : undefined

function answered(error: unknown, known: Partial<Facts> = {}) {
  const facts: Facts = { sentBytes: 0, ...known }
  return { facts, answer: errorAnswer(error, facts) }
}

describe('an error', () => {
  test('is a JSON body of the specification, with the status of its code', () => {
    const { answer, facts } = answered(new RegistryError('NAME_INVALID', 'bad name'))
    expect(answer.status).toBe(400)
    expect(answer.headers).toEqual({ 'content-type': 'application/json' })
    expect(bodyOf(answer)).toEqual({ errors: [{ code: 'NAME_INVALID', message: 'bad name' }] })
    expect(facts.provenance).toBeUndefined()
  })

  test('has a provenance where an upstream could have had what was read, and nowhere else', () => {
    const provenanceOf = (known: Partial<Facts>) =>
      answered(new RegistryError('MANIFEST_UNKNOWN', 'none'), known).facts.provenance
    expect(provenanceOf({ kind: 'manifest', upstream: 'docker.io' })).toEqual({ outcome: 'error' })
    expect(provenanceOf({ kind: 'manifest', upstream: 'local' })).toBeUndefined()
    expect(provenanceOf({ write: 'manifest', upstream: 'docker.io' })).toBeUndefined()
  })

  test('of an upstream names it and what it said', () => {
    const { answer } = answered(
      new UpstreamError('docker.io', 'server-error', 'docker.io answered 502', { upstreamStatus: 502 }),
    )
    expect(answer.status).toBe(503)
    expect(bodyOf(answer)).toEqual({
      errors: [
        {
          code: 'UNAVAILABLE',
          message: 'docker.io answered 502',
          detail: { upstream: 'docker.io', failure: 'server-error', status: 502 },
        },
      ],
    })
  })

  test.each([
    [0, '1'],
    [1, '1'],
    [1_000, '1'],
    [1_001, '2'],
    [90_000, '90'],
  ])('to be tried again in %i ms says %s seconds', (retryAfterMs, seconds) => {
    const { answer } = answered(new RegistryError('UNAVAILABLE', 'x', { retryAfterMs }))
    expect(answer.headers['retry-after']).toBe(seconds)
  })

  test('brings its own headers', () => {
    const { answer } = answered(new RegistryError('UNSUPPORTED', 'x', { headers: { allow: 'GET, HEAD' } }))
    expect(answer.status).toBe(405)
    expect(answer.headers.allow).toBe('GET, HEAD')
  })

  test.each([
    Object.assign(new Error("ENOENT: no such file or directory, open '/srv/data/secret'"), {
      code: 'ENOENT',
    }),
    new TypeError('cannot read properties of undefined'),
    'a text',
    undefined,
    { code: 'DENIED', message: 'not one of ours' },
  ])('that is no answer of ours tells the client nothing: %s', error => {
    const { answer, facts } = answered(error)
    expect(answer.status).toBe(500)
    expect(bodyOf(answer)).toEqual({ errors: [{ code: 'UNKNOWN', message: 'internal error; see the log' }] })
    expect(facts.error).toBe(error)
  })

  test('does not tell its cause', () => {
    const { answer } = answered(new RegistryError('UNAVAILABLE', 'x', { cause: new Error('hunter2') }))
    expect(JSON.stringify(bodyOf(answer))).not.toContain('hunter2')
  })
})
