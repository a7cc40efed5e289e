/** Policies of queues: SLRU, 2Q, S3-FIFO, SIEVE, ARC, W-TinyLFU. Shares of the cap are bytes. */
import { Queue } from '../queue.ts'
import type { MakePolicy } from '../simulate.ts'

const nobody = -1

/** Who is used again while on trial is protected; who falls out of the protected is on trial again. */
export const slru: MakePolicy = ({ sizes, capBytes }) => {
  const trial = new Queue(sizes)
  const kept = new Queue(sizes)
  return {
    added: blob => trial.push(blob),
    used: blob => {
      trial.remove(blob)
      kept.push(blob)
      while (kept.bytes > capBytes * 0.8) trial.push(kept.take() ?? nobody)
    },
    evict: () => trial.take() ?? kept.take() ?? nobody,
  }
}

/** A queue for the new, which a second use does not prolong, LRU for who comes back after it, a memory of names in between. */
export const twoQueues: MakePolicy = ({ sizes, capBytes }) => {
  const fresh = new Queue(sizes)
  const kept = new Queue(sizes)
  const gone = new Queue(sizes)
  return {
    added: blob => (gone.remove(blob) ? kept : fresh).push(blob),
    used: blob => {
      if (kept.has(blob)) kept.push(blob)
    },
    evict: () => {
      if (kept.size > 0 && fresh.bytes < capBytes * 0.25) return kept.take() ?? nobody
      const victim = fresh.take()
      if (victim === undefined) return kept.take() ?? nobody
      gone.push(victim)
      gone.trim(capBytes * 0.5)
      return victim
    },
  }
}

/** A small queue that most leave at once, a large one that gives a second chance for each use, a memory of names. */
export const s3Fifo: MakePolicy = ({ sizes, capBytes }) => {
  const small = new Queue(sizes)
  const main = new Queue(sizes)
  const gone = new Queue(sizes)
  const uses = new Uint8Array(sizes.length)
  const fromSmall = () => {
    for (let blob = small.take(); blob !== undefined; blob = small.take()) {
      if ((uses[blob] ?? 0) === 0) {
        gone.push(blob)
        gone.trim(capBytes * 0.9)
        return blob
      }
      uses[blob] = 0
      main.push(blob)
    }
    return undefined
  }
  const fromMain = () => {
    for (let blob = main.take(); blob !== undefined; blob = main.take()) {
      const left = uses[blob] ?? 0
      if (left === 0) return blob
      uses[blob] = left - 1
      main.push(blob)
    }
    return undefined
  }
  return {
    added: blob => {
      uses[blob] = 0
      if (gone.remove(blob)) main.push(blob)
      else small.push(blob)
    },
    used: blob => {
      uses[blob] = Math.min(3, (uses[blob] ?? 0) + 1)
    },
    evict: () => {
      const first = small.bytes >= capBytes * 0.1 ? fromSmall() : fromMain()
      return first ?? fromMain() ?? fromSmall() ?? nobody
    },
  }
}

/** One queue and a hand that goes from old to new: who was used since it passed stays where it is. */
export const sieve: MakePolicy = ({ sizes }) => {
  const newer = new Int32Array(sizes.length).fill(nobody)
  const older = new Int32Array(sizes.length).fill(nobody)
  const visited = new Uint8Array(sizes.length)
  let [newest, oldest, hand] = [nobody, nobody, nobody]
  const unlink = (blob: number) => {
    const [above, below] = [newer[blob] ?? nobody, older[blob] ?? nobody]
    if (above === nobody) newest = below
    else older[above] = below
    if (below === nobody) oldest = above
    else newer[below] = above
  }
  return {
    added: blob => {
      visited[blob] = 0
      older[blob] = newest
      newer[blob] = nobody
      if (newest === nobody) oldest = blob
      else newer[newest] = blob
      newest = blob
    },
    used: blob => {
      visited[blob] = 1
    },
    evict: () => {
      let blob = hand === nobody ? oldest : hand
      while (visited[blob] === 1) {
        visited[blob] = 0
        const next = newer[blob] ?? nobody
        blob = next === nobody ? oldest : next
      }
      hand = newer[blob] ?? nobody
      unlink(blob)
      return blob
    },
  }
}

/** Balances the recent and the frequent by which of the two it regrets. */
export const arc: MakePolicy = ({ sizes, capBytes }) => {
  const recent = new Queue(sizes)
  const frequent = new Queue(sizes)
  const goneRecent = new Queue(sizes)
  const goneFrequent = new Queue(sizes)
  let recentBytes = 0
  return {
    added: blob => {
      const size = sizes[blob] ?? 0
      const [regretRecent, regretFrequent] = [goneRecent.bytes, goneFrequent.bytes]
      if (goneRecent.remove(blob)) {
        recentBytes = Math.min(capBytes, recentBytes + size * Math.max(1, regretFrequent / regretRecent))
        frequent.push(blob)
      } else if (goneFrequent.remove(blob)) {
        recentBytes = Math.max(0, recentBytes - size * Math.max(1, regretRecent / regretFrequent))
        frequent.push(blob)
      } else recent.push(blob)
    },
    used: blob => {
      recent.remove(blob)
      frequent.push(blob)
    },
    evict: () => {
      const fromRecent = recent.size > 0 && (recent.bytes > recentBytes || frequent.size === 0)
      const victim = (fromRecent ? recent : frequent).take() ?? nobody
      const gone = fromRecent ? goneRecent : goneFrequent
      gone.push(victim)
      goneRecent.trim(Math.max(0, capBytes - recent.bytes))
      goneFrequent.trim(capBytes)
      return victim
    },
  }
}

/** A window for the new; to go on into SLRU one has to be used more often than who would have to leave. Exact counts, halved at times. */
export const wTinyLfu: MakePolicy = ({ sizes, capBytes, trace }) => {
  const window = new Queue(sizes)
  const trial = new Queue(sizes)
  const kept = new Queue(sizes)
  const counts = new Float64Array(sizes.length)
  const halveEvery = trace.requests / 10
  let noted = 0
  const count = (blob: number) => {
    counts[blob] = Math.min(15, (counts[blob] ?? 0) + 1)
    noted += 1
    if (noted < halveEvery) return
    noted = 0
    for (let at = 0; at < counts.length; at += 1) counts[at] = Math.floor((counts[at] ?? 0) / 2)
  }
  return {
    added: blob => {
      count(blob)
      window.push(blob)
      while (window.bytes > capBytes * 0.05 && trial.bytes + kept.bytes < capBytes * 0.95)
        trial.push(window.take() ?? nobody)
    },
    used: blob => {
      count(blob)
      if (window.has(blob)) return window.push(blob)
      trial.remove(blob)
      kept.push(blob)
      while (kept.bytes > capBytes * 0.75) trial.push(kept.take() ?? nobody)
    },
    evict: () => {
      const weakest = trial.oldest ?? kept.oldest
      const candidate = window.bytes > capBytes * 0.05 || weakest === undefined ? window.take() : undefined
      if (candidate === undefined) return trial.take() ?? kept.take() ?? nobody
      if (weakest === undefined || (counts[candidate] ?? 0) <= (counts[weakest] ?? 0)) return candidate
      trial.push(candidate)
      if (!trial.remove(weakest)) kept.remove(weakest)
      return weakest
    },
  }
}
