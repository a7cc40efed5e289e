/** Three places where a cache stands, and what is done there. Figures are guesses that a person who runs one would make. */
import { dayMs } from './catalogue.ts'
import { type Client, Scene, type Trace } from './trace.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs

export const shapes: Readonly<Record<string, (seed: number) => Trace>> = {
  cluster: seed => cluster(seed).trace(),
  office,
  ci,
  scanned,
}

/** 120 nodes of Kubernetes: releases roll out, pods move, nodes are replaced monthly, others come for a day. */
function cluster(seed: number): Scene {
  const scene = new Scene({
    seed,
    days: 30,
    repositories: 800,
    ownShare: 0.3,
    lifeDays: 200,
    exponent: 0.8,
  })
  const nodes = scene.clients(120, 10)
  rollOut(scene, nodes)
  for (const atMs of scene.moments(1200)) {
    const repository = scene.popular(atMs)
    scene.start(pick(scene, nodes), scene.current(repository, atMs), atMs)
  }
  for (const atMs of scene.moments(nodes.length / 30))
    nodes[scene.random.integer(0, nodes.length - 1)] = newNode(scene, atMs, 25)
  for (const atMs of scene.moments(25)) newNode(scene, atMs, 12)
  return scene
}

/** The same cluster, and a scanner that keeps nothing and pulls each image in use every night. */
function scanned(seed: number): Trace {
  const scene = cluster(seed)
  for (let nightMs = 2 * hourMs; nightMs < scene.days * dayMs; nightMs += dayMs)
    for (const repository of scene.repositories)
      if (repository.bornMs <= nightMs && nightMs < repository.diesMs)
        scene.start(
          scene.client(0),
          scene.current(repository, nightMs),
          nightMs + scene.random.uniform() * 3 * hourMs,
        )
  return scene.trace()
}

/** 100 people behind one address, and a small CI: they try things out, and keep layers for weeks. */
function office(seed: number): Trace {
  const scene = new Scene({
    seed,
    days: 30,
    repositories: 3000,
    ownShare: 0.1,
    lifeDays: 400,
    exponent: 0.8,
  })
  const people = scene.clients(100, 30)
  for (const atMs of scene.moments(500)) {
    const repository = scene.popular(atMs)
    const version = scene.random.chance(0.85)
      ? scene.current(repository, atMs)
      : scene.older(repository, atMs)
    scene.start(pick(scene, people), version, atMs)
  }
  runJobs(scene, 100)
  return scene.trace()
}

/** CI above all: jobs on machines that begin empty, and builds that are pulled for their tests and never again. */
function ci(seed: number): Trace {
  const scene = new Scene({
    seed,
    days: 30,
    repositories: 800,
    ownShare: 0.4,
    lifeDays: 200,
    exponent: 0.9,
  })
  runJobs(scene, 800)
  rollOut(scene, scene.clients(20, 10))
  return scene.trace()
}

/** One node first, the others within the hour that follows, one after another. */
function rollOut(scene: Scene, nodes: readonly Client[]): void {
  scene.repositories.forEach((repository, rank) => {
    const replicas = rank < 10 ? nodes.length : Math.ceil(scene.random.exponential(3))
    for (const version of repository.versions) {
      if (!scene.random.chance(0.8)) continue
      let atMs = version.releasedMs + scene.random.exponential(2 * hourMs)
      scene.start(pick(scene, nodes), version, atMs)
      atMs += scene.random.exponential(hourMs)
      for (let left = replicas; left > 0; left -= 1) {
        atMs += scene.random.exponential(minuteMs / 2)
        scene.start(pick(scene, nodes), version, atMs)
      }
    }
  })
}

/** It starts what runs on every node, and a share of the rest. */
function newNode(scene: Scene, atMs: number, images: number): Client {
  const node = scene.client(10)
  const everywhere = scene.repositories
    .slice(0, 10)
    .filter(({ bornMs, diesMs }) => bornMs <= atMs && atMs < diesMs)
  const others = Array.from({ length: images }, () => scene.popular(atMs))
  for (const repository of [...everywhere, ...others]) {
    scene.start(node, scene.current(repository, atMs), atMs)
    atMs += scene.random.exponential(10_000)
  }
  return node
}

/** Four of five begin on an empty machine. Four of ten build an image, which up to five others test within minutes. */
function runJobs(scene: Scene, aDay: number): void {
  const kept = scene.clients(20, 2)
  const runner = () => (scene.random.chance(0.8) ? scene.client(1) : pick(scene, kept))
  for (const atMs of scene.moments(aDay)) {
    const machine = runner()
    for (let images = scene.random.integer(1, 3); images > 0; images -= 1)
      scene.start(machine, scene.current(scene.popular(atMs), atMs), atMs + images * 5000)
    const repository = scene.random.chance(0.4) ? scene.popular(atMs) : undefined
    if (!repository) continue
    const built = scene.build(repository, atMs)
    for (let tests = scene.random.integer(1, 5); tests > 0; tests -= 1)
      scene.start(runner(), built, atMs + scene.random.exponential(15 * minuteMs))
  }
}

function pick(scene: Scene, clients: readonly Client[]): Client {
  return clients[scene.random.integer(0, clients.length - 1)] ?? scene.client(dayMs)
}
