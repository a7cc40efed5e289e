/** Pins: what is never evicted, besides what the configuration says. */
import { z } from 'zod'
import type { AskedPin } from '../../collect/asked-pins.ts'
import { referenceText } from '../../oci/reference.ts'
import { keyOf } from '../../pull/target.ts'
import type { AdminDeps } from '../deps.ts'
import { AdminError } from '../failure.ts'
import { cachedOf, imageName, parseImage } from '../image.ts'
import { type Route, route } from '../route.ts'

const name = imageName
const pin = z.object({
  name: z.string().describe('With the registry; without tag and digest the repository.'),
})

export function pinRoutes({ pins, resolver }: AdminDeps): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/pins',
      operationId: 'listPins',
      summary: 'What was pinned here. What the configuration pins is not among it.',
      answer: z.object({ pins: z.array(pin) }),
      handle: async () => ({ pins: (await pins.list()).map(each => ({ name: nameOf(each) })) }),
    }),
    route({
      method: 'PUT',
      path: '/pins',
      operationId: 'pin',
      summary:
        'Never evicts an image, or what a repository holds, from the moment of the answer. With what it lists, as far as that was fetched; nothing is fetched.',
      body: z.strictObject({ name }),
      answer: pin,
      failures: { 409: 'It was pushed here, and is never evicted.' },
      async handle({ body }) {
        const asked = pinOf(body.name)
        await pins.add(asked)
        return { name: nameOf(asked) }
      },
    }),
    route({
      method: 'DELETE',
      path: '/pins',
      operationId: 'unpin',
      summary: 'Takes a pin back that was asked for here.',
      query: z.strictObject({ name }),
      answer: pin,
      failures: { 404: 'Nobody asked for it.' },
      async handle({ query }) {
        const asked = pinOf(query.name)
        if (await pins.remove(asked)) return { name: nameOf(asked) }
        throw new AdminError(
          'NOT_FOUND',
          `${nameOf(asked)} was not pinned here: what the configuration pins it unpins`,
        )
      },
    }),
  ]

  function pinOf(text: string): AskedPin {
    const image = parseImage(text, resolver())
    const key = keyOf(cachedOf(image, 'it is never evicted, and needs no pin'))
    return { ...key, reference: image.reference }
  }
}

function nameOf({ registry, repository, reference }: AskedPin): string {
  const whole = `${registry}/${repository}`
  if (!reference) return whole
  return `${whole}${reference.kind === 'tag' ? ':' : '@'}${referenceText(reference)}`
}
