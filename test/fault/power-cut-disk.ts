/** A disk that knows what would be left of it after a power cut: content up to its last sync, names up to their folder's. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { fileOf, pathsOf, type SystemCall, stringsOf, type TraceEvent } from './strace.ts'

/** What becomes of that which was never synced. */
export type Loss = 'everything' | 'content' | 'chance'

type Change = { readonly at: number; readonly bytes: Buffer } | { readonly size: number }

/** Something on disk, and what was done to it since that is not there yet. */
abstract class Pending<State, Step> {
  #synced: State
  #folded = 0
  #steps: Step[] = []

  constructor(state: State) {
    this.#synced = state
  }

  get synced(): State {
    return this.#synced
  }

  get steps(): readonly Step[] {
    return this.#steps
  }

  /** The synced state with some of the steps. */
  abstract after(steps: readonly Step[]): State

  add(step: Step): void {
    this.#steps.push(step)
  }

  /** What a sync that begins now is sure to cover. */
  mark(): number {
    return this.#folded + this.#steps.length
  }

  sync(mark: number): void {
    const covered = this.#steps.splice(0, Math.max(0, mark - this.#folded))
    if (covered.length > 0) this.#synced = this.after(covered)
    this.#folded += covered.length
  }
}

type Names = ReadonlyMap<string, Node>

interface Naming {
  readonly name: string
  /** Undefined: taken away. */
  readonly node: Node | undefined
}

class File extends Pending<Buffer, Change> {
  size = 0

  constructor() {
    super(Buffer.alloc(0))
  }

  override add(change: Change): void {
    super.add(change)
    this.size = 'size' in change ? change.size : Math.max(this.size, change.at + change.bytes.length)
  }

  override after(changes: readonly Change[]): Buffer {
    let content: Buffer = Buffer.from(this.synced)
    for (const change of changes) {
      if ('size' in change) content = resized(content, change.size)
      else {
        content = resized(content, Math.max(content.length, change.at + change.bytes.length))
        change.bytes.copy(content, change.at)
      }
    }
    return content
  }
}

class Folder extends Pending<Names, Naming> {
  readonly now = new Map<string, Node>()

  constructor() {
    super(new Map())
  }

  override add(naming: Naming): void {
    super.add(naming)
    setName(this.now, naming)
  }

  override after(namings: readonly Naming[]): Names {
    const names = new Map(this.synced)
    for (const naming of namings) setName(names, naming)
    return names
  }
}

type Node = File | Folder

export class PowerCutDisk {
  readonly #path: string
  readonly #root = new Folder()
  readonly #syncing = new Map<number, { node: Node; mark: number }>()
  /** Folders that are being made, by path: others may see one before the call that makes it ends. */
  readonly #making = new Set<string>()
  /** Names given to files whose content was not on disk yet, in order. */
  readonly premature: string[] = []

  /** @param path the folder whose own name is safe; empty when the trace begins */
  constructor(path: string) {
    this.#path = path
  }

  play({ phase, call }: TraceEvent): void {
    if (isMkdir(call)) this.#playMkdir(phase, call)
    else if (call.result < 0) return
    else if (call.name === 'fsync' || call.name === 'fdatasync') this.#playSync(phase, call)
    else if (phase === 'ended') this.#change(call)
  }

  /** What a power cut now would surely leave under the path: a file's bytes, a folder's names, or nothing. */
  synced(path: string): Buffer | readonly string[] | undefined {
    const node = this.#find(path, folder => folder.synced)
    if (!node) return undefined
    return node instanceof File ? node.synced : [...node.synced.keys()]
  }

  /** A file's bytes as readers see them now. */
  content(path: string): Buffer | undefined {
    const node = this.#findNow(path)
    return node instanceof File ? node.after(node.steps) : undefined
  }

  /** Whether the path may still be there after a power cut. */
  mayBeThere(path: string): boolean {
    return this.#find(path, folder => new Map([...folder.synced, ...folder.now])) !== undefined
  }

  /** Lays out in a folder what a power cut now leaves. */
  async cut(target: string, loss: Loss, random: () => number): Promise<void> {
    const write = async (node: Node, path: string): Promise<void> => {
      if (node instanceof File) return writeFile(path, left(node, loss, random))
      await mkdir(path, { recursive: true })
      for (const [name, child] of left(node, loss, random)) await write(child, join(path, name))
    }
    await write(this.#root, target)
  }

  #playSync(phase: TraceEvent['phase'], call: SystemCall): void {
    if (phase === 'begun') {
      const path = fileOf(call)
      this.#make(path ?? '')
      const node = this.#findNow(path)
      if (node) this.#syncing.set(call.thread, { node, mark: node.mark() })
      return
    }
    const sync = this.#syncing.get(call.thread)
    sync?.node.sync(sync.mark)
    this.#syncing.delete(call.thread)
  }

  /** Another call that finds the folder there ends when it is made. */
  #playMkdir(phase: TraceEvent['phase'], call: SystemCall): void {
    const [path = ''] = pathsOf(call)
    if (phase === 'ended') this.#make(path)
    else if (call.result >= 0) this.#making.add(path)
  }

  #make(path: string): void {
    if (!this.#making.delete(path)) return
    this.#name(path, new Folder())
  }

  #change(call: SystemCall): void {
    const [from = '', to = ''] = pathsOf(call)
    switch (call.name) {
      case 'open':
      case 'openat':
      case 'creat':
        this.#open(from, call)
        break
      case 'write':
      case 'writev':
      case 'pwrite64':
      case 'pwritev':
      case 'pwritev2':
        this.#write(call)
        break
      case 'ftruncate':
        this.#resize(fileOf(call), Number(/, (\d+)$/.exec(call.args)?.[1]))
        break
      case 'rename':
      case 'renameat':
      case 'renameat2':
        this.#name(to, this.#findNow(from))
        this.#name(from, undefined)
        break
      case 'link':
      case 'linkat':
        this.#name(to, this.#findNow(from))
        break
      case 'unlink':
      case 'unlinkat':
      case 'rmdir':
        this.#name(from, undefined)
        break
      case 'truncate':
      case 'symlinkat':
      case 'copy_file_range':
      case 'sendfile':
      case 'fallocate':
        if ([from, fileOf(call)].some(path => this.#below(path ?? '')))
          throw new Error(`${call.name} is not known to this disk`)
    }
  }

  #open(path: string, { args }: SystemCall): void {
    if (!/O_CREAT|O_TRUNC/.test(args)) return
    const node = this.#findNow(path)
    if (!node) this.#name(path, new File())
    else if (node instanceof File && args.includes('O_TRUNC')) node.add({ size: 0 })
  }

  #write(call: SystemCall): void {
    const file = this.#findNow(fileOf(call))
    if (!(file instanceof File)) return
    const last = call.name === 'pwritev2' ? /, (\d+), \w+$/ : /, (\d+)$/ // flags come after the offset
    const given = call.name.startsWith('p') ? Number(last.exec(call.args)?.[1]) : file.size
    const bytes = Buffer.concat(stringsOf(call)).subarray(0, call.result)
    file.add({ at: given, bytes })
  }

  #resize(path: string | undefined, size: number): void {
    const file = this.#findNow(path)
    if (file instanceof File) file.add({ size })
  }

  #name(path: string, node: Node | undefined): void {
    if (!this.#below(path)) return
    const at = path.lastIndexOf('/')
    this.#make(path.slice(0, at))
    const folder = this.#findNow(path.slice(0, at))
    if (!(folder instanceof Folder)) throw new Error(`the trace names ${path}, whose folder it did not make`)
    if (node instanceof File && node.steps.length > 0) this.premature.push(path)
    folder.add({ name: path.slice(at + 1), node })
  }

  #below(path: string): boolean {
    return path.startsWith(`${this.#path}/`)
  }

  #findNow(path: string | undefined): Node | undefined {
    return path === undefined ? undefined : this.#find(path, folder => folder.now)
  }

  #find(path: string, names: (folder: Folder) => Names): Node | undefined {
    if (path === this.#path) return this.#root
    if (!this.#below(path)) return undefined
    let node: Node | undefined = this.#root
    for (const name of relative(this.#path, path).split('/')) {
      if (!(node instanceof Folder)) return undefined
      node = names(node).get(name)
    }
    return node
  }
}

function isMkdir({ name }: SystemCall): boolean {
  return name === 'mkdir' || name === 'mkdirat'
}

function resized(content: Buffer, size: number): Buffer {
  if (content.length === size) return content
  const result = Buffer.alloc(size)
  content.copy(result)
  return result
}

function setName(names: Map<string, Node>, { name, node }: Naming): void {
  if (node) names.set(name, node)
  else names.delete(name)
}

function left(node: File, loss: Loss, random: () => number): Buffer
function left(node: Folder, loss: Loss, random: () => number): Names
function left(node: Node, loss: Loss, random: () => number): Buffer | Names {
  if (loss === 'everything') return node.synced
  if (node instanceof File) {
    if (loss === 'content') return node.synced
    return node.after(node.steps.filter(() => random() < 0.5)) // a disk writes in its own order
  }
  if (loss === 'content') return node.now
  return node.after(node.steps.slice(0, Math.floor(random() * (node.steps.length + 1))))
}
