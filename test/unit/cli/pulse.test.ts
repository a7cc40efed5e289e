import { once } from 'node:events'
import { expect, it } from 'vitest'
import { Pulse } from '../../../src/cli/workers/pulse.ts'

it('tells a primary that says nothing for some ticks, until it says something again', async () => {
  const pulse = new Pulse({ ticks: 3, tickMs: 1 })
  await once(pulse.silence, 'abort')
  expect(pulse.silence.aborted).toBe(true)
  pulse.beat()
  expect(pulse.silence.aborted).toBe(false)
  await once(pulse.silence, 'abort')
  pulse.stop()
})
