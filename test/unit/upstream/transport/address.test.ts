import { expect, test } from 'vitest'
import {
  AddressRefused,
  assertLiteral,
  createAddressRule,
  guardedLookup,
} from '../../../../src/upstream/transport/address.ts'

const rule = createAddressRule(['10.1.0.0/16', 'fd12::/16'])

test.each([
  '169.254.169.254',
  '::ffff:169.254.169.254',
  '64:ff9b::a9fe:a9fe',
  '64:ff9b:1::a9fe:a9fe',
  '2002:a9fe:a9fe::1',
  '::a9fe:a9fe',
  'fe80::1',
  'fd00:ec2::254',
  'fd20:ce::254',
  '100.100.100.200',
  '168.63.129.16',
])('%s is never asked, not even as our own host', address => {
  expect(rule(address, 'own')).toBe(false)
  expect(createAddressRule(['0.0.0.0/0', '::/0'])(address, 'foreign')).toBe(false)
})

test.each([
  '10.0.0.1',
  '127.0.0.1',
  '192.168.1.1',
  '100.64.0.1',
  '::1',
  'fc00::1',
  '::ffff:10.0.0.1',
  '0.0.0.0',
  '::',
])('%s is asked as our own host, and not because an upstream named it', address => {
  expect(rule(address, 'own')).toBe(true)
  expect(rule(address, 'foreign')).toBe(false)
})

test.each(['1.1.1.1', '2606:4700::1111', '::ffff:1.1.1.1', '64:ff9b::101:101'])('%s is public', address => {
  expect(rule(address, 'foreign')).toBe(true)
})

test('allowPrivate opens its ranges, mapped forms included', () => {
  expect(rule('10.1.2.3', 'foreign')).toBe(true)
  expect(rule('::ffff:10.1.2.3', 'foreign')).toBe(true)
  expect(rule('fd12::1', 'foreign')).toBe(true)
  expect(rule('10.2.0.1', 'foreign')).toBe(false)
})

test.each([
  'http://2852039166/',
  'http://0xa9.0xfe.0xa9.0xfe/',
  'http://[::ffff:a9fe:a9fe]/',
  'http://127.1/',
])('the literal in %s is checked as the address it means', url => {
  expect(() => assertLiteral(new URL(url), 'foreign', rule)).toThrow(AddressRefused)
})

test('a name is given to the socket without its forbidden addresses', async () => {
  const lookup = guardedLookup(
    async () => [
      { address: '10.0.0.1', family: 4 },
      { address: '1.1.1.1', family: 4 },
    ],
    'foreign',
    rule,
  )
  const found = await new Promise(resolve => {
    lookup('cdn.test', { all: true }, (_error, addresses) => resolve(addresses))
  })
  expect(found).toEqual([{ address: '1.1.1.1', family: 4 }])
})

test('a name with forbidden addresses only is an error that says what would allow it', async () => {
  const lookup = guardedLookup(async () => [{ address: '10.0.0.1', family: 4 }], 'foreign', rule)
  const error = await new Promise(resolve => lookup('cdn.test', {}, resolve))
  expect(String(error)).toContain('allowPrivate')
})
