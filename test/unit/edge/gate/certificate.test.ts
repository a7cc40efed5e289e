/** Whose a client certificate is, whatever its names look like. */
import { X509Certificate } from 'node:crypto'
import { array, assert, constantFrom, property, string, tuple } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseAlternatives, readCertificate } from '../../../../src/edge/gate/certificate.ts'
import { serverCertificate } from '../../../fake/certificates.ts'
import { alice, teamCa } from '../../../fake/client-certificates.ts'

const read = (pem: string) => readCertificate(new X509Certificate(pem))

describe('a client certificate', () => {
  test('has every name of its owner as it is, whatever a name contains', () => {
    expect(read(alice.cert)).toEqual({
      commonNames: ['alice', 'alice\nO=Root + Zoë'],
      organizations: ['Acme, Inc/East', 'Platform'],
      dns: ['alice.corp.example', 'laptop.corp.example'],
      emails: ['alice@corp.example'],
      uris: ['spiffe://corp.example/team/platform', 'https://corp.example/?a=1\\,DNS:root.corp.example'],
      endsAt: new X509Certificate(alice.cert).validToDate.getTime(),
      fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
    })
  })

  test('may have few of them', () => {
    expect(read(teamCa)).toMatchObject({ commonNames: ['Team CA'], organizations: [], dns: [], uris: [] })
    expect(read(serverCertificate.cert)).toMatchObject({ dns: ['tls.test', 'mtls.test'], emails: [] })
  })
})

describe('alternative names as Node writes them', () => {
  const quoted = (value: string) => JSON.stringify(value).replaceAll(',', '\\u002c')
  const isPlain = (value: string) => /^[^",'\\\p{Cc}\u007f-\uffff]+$/u.test(value)

  test('are told apart', () => {
    const entry = tuple(
      constantFrom('DNS', 'email', 'URI', 'IP Address', 'othername:UPN'),
      string({ unit: constantFrom('a', ':', ',', ' ', '"', '\\', '\n', 'é', 'DNS:', ', ') }),
    )
    assert(
      property(array(entry), entries => {
        const text = entries
          .map(([kind, value]) => `${kind}:${isPlain(value) ? value : quoted(value)}`)
          .join(', ')
        const expected = entries.map(([kind, value]) =>
          kind === 'othername:UPN' ? { kind: 'othername', value: `UPN:${value}` } : { kind, value },
        )
        expect(parseAlternatives(text)).toEqual(expected)
      }),
    )
  })

  test.each([
    'DNS:a,DNS:b',
    'DNS:"a',
    'DNS:"\\x"',
    'DNS:a, DNS:"b',
    'DNS:"\u0001"',
    ',',
  ])('are refused whole where they are written otherwise: %j', text =>
    expect(() => parseAlternatives(text)).toThrow('cannot be told apart'))

  test('whatever is written in them, nothing else is thrown and it ends', () => {
    assert(
      property(
        string({ unit: constantFrom('"', ',', ' ', ':', '\\', 'u', '0', 'a', '\n', '\u{1f600}') }),
        text => {
          try {
            parseAlternatives(text)
          } catch (error) {
            expect((error as Error).message).toContain('cannot be told apart')
          }
        },
      ),
    )
  })
})
