/** A `.cpuprofile` of V8 folded into one tree of functions, with the time of each. */
import { fileURLToPath } from 'node:url'

export type Kind = 'own' | 'node' | 'package' | 'native'

export interface Frame {
  name: string
  /** A file below the project, a module of Node or a package; empty: no JavaScript. */
  where: string
  kind: Kind
  selfMicros: number
  /** With all that it called. */
  totalMicros: number
  children: Frame[]
}

export interface Flame {
  /** Of the whole program. */
  root: Frame
  /** While nothing was to be done; not in the tree. */
  idleMicros: number
}

interface Profile {
  nodes: readonly ProfileNode[]
  /** Of the monotonic clock, in µs. */
  startTime: number
  samples: readonly number[]
  timeDeltas: readonly number[]
}

interface ProfileNode {
  id: number
  callFrame: CallFrame
  children?: readonly number[]
}

interface CallFrame {
  functionName: string
  url: string
}

export interface Span {
  fromMicros: number
  toMicros: number
}

const project = fileURLToPath(new URL('../../', import.meta.url))
/** What V8 calls them, and what they are. */
const natives: Readonly<Record<string, string>> = {
  '(program)': 'outside JavaScript: kernel, libuv, HTTP parser',
  '(garbage collector)': 'garbage collection',
}

/** @param json the file */
export function fold(json: string, span: Span): Flame {
  const profile = JSON.parse(json) as Profile
  const nodes = new Map(profile.nodes.map(node => [node.id, node]))
  const micros = timesIn(profile, span)
  const idle = profile.nodes.find(({ callFrame }) => callFrame.functionName === '(idle)')
  const idleMicros = idle ? (micros.get(idle.id) ?? 0) : 0
  if (idle) micros.delete(idle.id)
  const root: Frame = { ...newFrame({ functionName: 'all', url: '' }), kind: 'native' }
  const [top] = profile.nodes
  if (top) addChildren(root, top, { nodes, micros })
  return { root: settled(root), idleMicros }
}

/** By node, what was sampled there within the span. */
function timesIn({ startTime, samples, timeDeltas }: Profile, span: Span): Map<number, number> {
  const micros = new Map<number, number>()
  let at = startTime
  for (const [index, id] of samples.entries()) {
    at += timeDeltas[index] ?? 0
    if (at < span.fromMicros || at > span.toMicros) continue
    const lasted = Math.max(0, timeDeltas[index + 1] ?? 0)
    micros.set(id, (micros.get(id) ?? 0) + lasted)
  }
  return micros
}

interface Times {
  nodes: ReadonlyMap<number, ProfileNode>
  micros: ReadonlyMap<number, number>
}

/** Functions of one name and file that the same function called are one. */
function addChildren(frame: Frame, node: ProfileNode, times: Times): void {
  for (const id of node.children ?? []) {
    const child = times.nodes.get(id)
    if (!child) continue
    const fresh = newFrame(child.callFrame)
    const known = frame.children.find(({ name, where }) => name === fresh.name && where === fresh.where)
    const into = known ?? fresh
    if (!known) frame.children.push(fresh)
    into.selfMicros += times.micros.get(id) ?? 0
    addChildren(into, child, times)
  }
}

function newFrame({ functionName, url }: CallFrame): Frame {
  return {
    name: natives[functionName] ?? (functionName || '(anonymous)'),
    ...originOf(url),
    selfMicros: 0,
    totalMicros: 0,
    children: [],
  }
}

/** Without the paths of this machine. */
function originOf(url: string): Pick<Frame, 'where' | 'kind'> {
  if (url === '') return { where: '', kind: 'native' }
  if (url.startsWith('node:')) return { where: url, kind: 'node' }
  const path = url.startsWith('file:') ? fileURLToPath(url) : url
  const inPackage = /.*node_modules\/(.*)/.exec(path)?.[1]
  if (inPackage !== undefined) return { where: inPackage, kind: 'package' }
  const isOurs = path.startsWith(project)
  return { where: isOurs ? path.slice(project.length) : (path.split('/').at(-1) ?? ''), kind: 'own' }
}

/** Totals added up, the longest first, nothing that took no time. */
function settled(frame: Frame): Frame {
  const children = frame.children
    .map(settled)
    .filter(({ totalMicros }) => totalMicros > 0)
    .toSorted((a, b) => b.totalMicros - a.totalMicros)
  const called = children.reduce((total, { totalMicros }) => total + totalMicros, 0)
  return { ...frame, children, totalMicros: frame.selfMicros + called }
}

/** Each function once, by its own time. */
export function selfTimes(root: Frame): Frame[] {
  const functions = new Map<string, Frame>()
  const add = (frame: Frame) => {
    const key = `${frame.name} ${frame.where}`
    const known = functions.get(key)
    functions.set(key, { ...frame, selfMicros: frame.selfMicros + (known?.selfMicros ?? 0) })
    for (const child of frame.children) add(child)
  }
  add(root)
  return [...functions.values()].toSorted((a, b) => b.selfMicros - a.selfMicros)
}
