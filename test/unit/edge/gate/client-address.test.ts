/** Who asks through proxies, and by which name: what they say counts, and what anybody may write does not. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { isIP, type Socket } from 'node:net'
import { assert, constantFrom, option, property, string } from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  clientOf,
  originOf,
  Proxies,
  plainAddress,
  proxiesOf,
} from '../../../../src/edge/gate/client-address.ts'
import { parseForwarded } from '../../../../src/edge/gate/forwarded.ts'

const proxies = new Proxies(['10.0.0.0/8', 'fd00::/8', '::ffff:172.16.0.0/108'])

function asked(from: string | undefined, headers: IncomingHttpHeaders = {}): IncomingMessage {
  return { socket: { remoteAddress: from } as Socket, headers } as IncomingMessage
}

const list = (text: string) => ({ 'x-forwarded-for': text })
const forwarded = (text: string) => ({ forwarded: text })

describe('the client of a request', () => {
  test.each<[string, string, IncomingHttpHeaders, string]>([
    ['is who connects', '192.0.2.1', {}, '192.0.2.1'],
    ['is who connects, whatever it says', '192.0.2.1', list('8.8.8.8'), '192.0.2.1'],
    ['is a proxy that says nothing', '10.0.0.1', {}, '10.0.0.1'],
    ['is whom a proxy names', '10.0.0.1', list('8.8.8.8'), '8.8.8.8'],
    ['is whom the last proxy names that is not trusted', '10.0.0.1', list('1.1.1.1, 8.8.8.8'), '8.8.8.8'],
    ['is named through several proxies', '10.0.0.1', list('1.1.1.1,8.8.8.8, 10.2.3.4'), '8.8.8.8'],
    ['is the first of trusted addresses alone', '10.0.0.1', list('10.9.9.9, 10.2.3.4'), '10.9.9.9'],
    ['is one behind a proxy at an IPv4-mapped address', '::ffff:10.0.0.1', list('8.8.8.8'), '8.8.8.8'],
    ['is one behind a proxy in an IPv4-mapped range', '172.16.0.9', list('8.8.8.8'), '8.8.8.8'],
    ['is an IPv4 address in every form', '::ffff:192.0.2.1', {}, '192.0.2.1'],
    ['is an IPv4 address in every form', 'fd00::1', list('::FFFF:8.8.8.8'), '8.8.8.8'],
    ['is an IPv6 address in its one form', 'fd00::1', list('2001:DB8:0:0::1'), '2001:db8::1'],
    ['is named with its port', '10.0.0.1', list('8.8.8.8:4711'), '8.8.8.8'],
    ['is named with its port', '10.0.0.1', list('[2001:db8::1]:4711'), '2001:db8::1'],
    ['is the proxy that names what is no address', '10.0.0.1', list('unknown'), '10.0.0.1'],
    ['is the proxy that names what is no address', '10.0.0.1', list('8.8.8.8, 010.1.1.1'), '10.0.0.1'],
    ['is the proxy that names what is no address', '10.0.0.1', list('8.8.8.8, fe80::1%eth0'), '10.0.0.1'],
    ['is the proxy behind which is no address', '10.0.0.1', list('8.8.8.8, x, 10.7.7.7'), '10.7.7.7'],
    ['stands in Forwarded', '10.0.0.1', forwarded('for=8.8.8.8;proto=https'), '8.8.8.8'],
    ['stands in Forwarded', '10.0.0.1', forwarded('For="[2001:db8::1]:80", for=10.1.1.1'), '2001:db8::1'],
    ['is the proxy where it is hidden', '10.0.0.1', forwarded('for=_hidden'), '10.0.0.1'],
    ['is the proxy where Forwarded is none', '10.0.0.1', forwarded('for=8.8.8.8;"'), '10.0.0.1'],
    [
      'stands in X-Forwarded-For, where both are',
      '10.0.0.1',
      { ...list('8.8.8.8'), ...forwarded('for=1.1.1.1') },
      '8.8.8.8',
    ],
  ])('%s (%s %j)', (_, from, headers, client) => {
    expect(clientOf(asked(from, headers), proxies)).toBe(client)
  })

  test('is not known once it is gone', () => {
    expect(clientOf(asked(undefined, list('8.8.8.8')), proxies)).toBeUndefined()
  })

  test('is an address that is no trusted proxy of those before it, whatever is written', () => {
    const piece = constantFrom(
      '8.8.8.8',
      '10.1.1.1',
      '::1',
      ',',
      ' ',
      '"',
      '=',
      ';',
      'for',
      '[',
      ']',
      ':80',
      '%',
      'é',
      '\\',
    )
    const header = option(string({ unit: piece }), { nil: undefined })
    assert(
      property(header, header, header, (line, other, host) => {
        const request = asked('10.0.0.1', { 'x-forwarded-for': line, forwarded: other, host })
        const client = clientOf(request, proxies) ?? ''
        expect(isIP(client)).not.toBe(0)
        expect(plainAddress(client)).toBe(client)
        const { scheme, host: named } = originOf({ request, proxied: true, secure: false })
        expect(new URL(`${scheme}://${named}`).pathname).toBe('/')
      }),
    )
  })

  test('follows the configuration', () => {
    let config = { trustedProxies: [] as readonly string[] }
    const current = proxiesOf(() => config)
    expect(current()).toBeUndefined()
    config = { trustedProxies: ['10.0.0.0/8'] }
    expect(current()?.trusts('10.1.1.1')).toBe(true)
    expect(current()).toBe(current())
    config = { trustedProxies: [] }
    expect(current()).toBeUndefined()
  })
})

describe('how clients reach us', () => {
  const origin = (headers: IncomingHttpHeaders, { proxied = true, secure = false } = {}) => {
    const { scheme, host } = originOf({ request: asked('10.0.0.1', headers), proxied, secure })
    return `${scheme}://${host}`
  }
  const said = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'registry.corp.example' }

  test.each<[string, IncomingHttpHeaders, { proxied?: boolean; secure?: boolean }, string]>([
    ['as they say', { host: 'a.test:8080' }, { proxied: false }, 'http://a.test:8080'],
    ['over TLS', { host: '[::1]:8443' }, { secure: true }, 'https://[::1]:8443'],
    ['as a proxy says', { host: 'a.test', ...said }, {}, 'https://registry.corp.example'],
    ['not as somebody else says', { host: 'a.test', ...said }, { proxied: false }, 'http://a.test'],
    [
      'as the first proxy says',
      { 'x-forwarded-proto': 'https, http', 'x-forwarded-host': 'b.test, a.test' },
      {},
      'https://b.test',
    ],
    ['as Forwarded says', forwarded('for=1.1.1.1;proto=HTTPS;host="b.test:444"'), {}, 'https://b.test:444'],
    ['with a scheme that there is', { host: 'a.test', 'x-forwarded-proto': 'gopher' }, {}, 'http://a.test'],
    ['with a host that can be one', { host: 'a.test', 'x-forwarded-host': 'b"\r\n/' }, {}, 'http://a.test'],
    [
      'with an address that is one',
      { host: '[::g]', 'x-forwarded-host': '[::1%eth0]' },
      {},
      'http://localhost',
    ],
    ['under some name', { host: 'a b' }, {}, 'http://localhost'],
  ])('%s', (_, headers, how, expected) => expect(origin(headers, how)).toBe(expected))
})

test.each([
  ['for=a;by=b, for=c', [{ for: 'a', by: 'b' }, { for: 'c' }]],
  ['for="a\\"b, c;d" ; PROTO=http', [{ for: 'a"b, c;d', proto: 'http' }]],
  ['for=a,,for=b', [{ for: 'a' }, {}, { for: 'b' }]],
  ['for', []],
  ['for=a b', []],
  ['for="a', []],
  ['', []],
])('the header Forwarded: %s', (header, hops) => expect(parseForwarded(header)).toEqual(hops))
