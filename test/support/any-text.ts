/** Texts for property tests. */
import { type Arbitrary, type ArrayConstraints, array, integer } from 'fast-check'

const surrogates = { first: 0xd800, count: 0x800 }

/** Of any code points. `string({ unit: 'binary' })` gives the same, and takes a second to be made in each process. */
export function anyText(constraints: ArrayConstraints = {}): Arbitrary<string> {
  const point = integer({ min: 0, max: 0x10ffff - surrogates.count })
  return array(point, constraints).map(points =>
    String.fromCodePoint(...points.map(at => (at < surrogates.first ? at : at + surrogates.count))),
  )
}
