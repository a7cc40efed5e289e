/** Whom an upstream lets have what: what counts as its word, and for how long. */
import { describe, expect, test } from 'vitest'
import { parseReference } from '../../../src/oci/reference.ts'
import { Listings } from '../../../src/pull/listings.ts'
import { Manifests } from '../../../src/pull/manifests/manifests.ts'
import type { Target } from '../../../src/pull/target.ts'
import type { UpstreamFailure } from '../../../src/upstream/upstream-error.ts'
import { FakeClock } from '../../fake/clock.ts'
import { FakeUpstream, minute, targetOf } from './fake-upstream.ts'
import { openRig } from './flight-rig.ts'

const tag = parseReference('latest')

async function open() {
  const clock = new FakeClock()
  const rig = await openRig({ clock })
  const { verdicts } = rig.deps
  const callerOf = (identity: string) => {
    const upstream = new FakeUpstream({ access: 'passthrough', identity })
    return { upstream, target: verdicts.witness(targetOf(upstream)) }
  }
  return {
    clock,
    verdicts,
    listings: new Listings(rig.deps),
    manifests: new Manifests(rig.deps),
    ann: callerOf('ann'),
    eve: callerOf('eve'),
    [Symbol.asyncDispose]: () => rig[Symbol.asyncDispose](),
  }
}

const head = ({ upstream, repository }: Target) => upstream.headManifest(repository, tag).catch(() => {})

describe('a verdict', () => {
  test('is the caller’s alone, and lasts for its time', async () => {
    await using at = await open()
    at.ann.upstream.holdManifest('latest', {})
    await head(at.ann.target)
    expect([at.verdicts.holds(at.ann.target), at.verdicts.holds(at.eve.target)]).toEqual([true, false])
    at.clock.advance(minute)
    expect([at.verdicts.holds(at.ann.target), at.verdicts.heldLately(at.ann.target)]).toEqual([false, true])
    at.clock.advance(9 * minute)
    expect(at.verdicts.heldLately(at.ann.target)).toBe(false)
  })

  test.each<UpstreamFailure>([
    'caller-refused',
    'denied',
    'hidden',
    'credential-refused',
  ])('is ended by %s, which is repeated for some seconds without asking', async failure => {
    await using at = await open()
    at.ann.upstream.holdManifest('latest', {})
    await head(at.ann.target)
    at.ann.upstream.failure = failure
    await head(at.ann.target)
    expect(at.verdicts.heldLately(at.ann.target)).toBe(false)
    at.ann.upstream.failure = undefined
    await head(at.ann.target)
    expect(at.ann.upstream.asked).toHaveLength(2)
    at.clock.advance(5_000)
    await head(at.ann.target)
    expect(at.verdicts.holds(at.ann.target)).toBe(true)
  })

  test.each<UpstreamFailure>([
    'unreachable',
    'timeout',
    'server-error',
    'rate-limited',
    'resting',
  ])('outlasts %s', async failure => {
    await using at = await open()
    at.ann.upstream.holdManifest('latest', {})
    await at.manifests.get(at.ann.target, tag, { head: false })
    at.clock.advance(5 * minute)
    at.ann.upstream.failure = failure
    const found = await at.manifests.get(at.ann.target, tag, { head: false })
    expect(found.provenance.outcome).toBe('stale')
    at.eve.upstream.failure = failure
    await expect(at.manifests.get(at.eve.target, tag, { head: false })).rejects.toMatchObject({ failure })
  })

  test('is not given by an empty list, which is not kept for others either', async () => {
    await using at = await open()
    const { digest } = at.ann.upstream.holdManifest('latest', {})
    at.ann.upstream.tags = ['latest']
    await at.listings.tags(at.ann.target, {})
    at.clock.advance(minute)
    at.eve.upstream.failure = 'not-found'
    await expect(at.listings.tags(at.eve.target, {})).rejects.toMatchObject({ failure: 'not-found' })
    at.eve.upstream.failure = undefined
    expect((await at.listings.tags(at.eve.target, {})).tags).toEqual([])
    expect((await at.listings.referrers(at.eve.target, digest)).referrers).toEqual([])
    expect(at.verdicts.holds(at.eve.target)).toBe(false)
    await head(at.ann.target)
    at.ann.upstream.failure = 'unreachable'
    expect((await at.listings.tags(at.ann.target, {})).tags).toEqual(['latest'])
  })
})

test('what another’s fetch has just brought is not given to who did not ask upstream himself', async () => {
  await using at = await open()
  at.ann.upstream.holdManifest('latest', {})
  await at.manifests.get(at.ann.target, tag, { head: false })
  at.eve.upstream.failure = 'caller-refused'
  await expect(at.manifests.questions.lend(at.eve.target, tag)).rejects.toMatchObject({
    failure: 'caller-refused',
  })
  await expect(at.manifests.questions.lendHead(at.eve.target, tag)).rejects.toMatchObject({
    failure: 'caller-refused',
  })
})

test('a HEAD that names no digest is no word: the manifest itself has to come', async () => {
  await using at = await open()
  const { digest } = at.ann.upstream.holdManifest('latest', {})
  at.eve.upstream.holdManifest('latest', {})
  const byDigest = parseReference(digest)
  await at.manifests.get(at.ann.target, byDigest, { head: false })
  at.eve.upstream.headsAreBare = true
  await at.manifests.get(at.eve.target, byDigest, { head: false })
  expect(at.eve.upstream.asked).toEqual([`HEAD ${digest}`, `GET ${digest}`])
  expect(at.verdicts.holds(at.eve.target)).toBe(true)
})
