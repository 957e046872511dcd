import { type PodSpec, type SimPod, startPod } from './pod.ts';

/** The simulated pods that are wanted now, each known by all of its settings. */
export class Fleet {
  readonly #running = new Map<string, SimPod>();

  get pods(): readonly SimPod[] {
    return [...this.#running.values()];
  }

  /**
   * Ends the pods that are not among the specs, and starts those that are missing; a pod with other settings than
   * before is another one. The rest goes on as it is.
   *
   * @returns the pods that were started, and why others could not be
   */
  async follow(specs: readonly PodSpec[]): Promise<{ started: readonly SimPod[]; failures: readonly Error[] }> {
    const wanted = new Map(specs.map(spec => [JSON.stringify(spec), spec]));
    const leaving = [...this.#running].filter(([key]) => !wanted.has(key));
    for (const [key] of leaving) this.#running.delete(key);
    await Promise.all(leaving.map(([, pod]) => pod.close()));
    const missing = [...wanted].filter(([key]) => !this.#running.has(key));
    const results = await Promise.allSettled(missing.map(([, spec]) => startPod(spec)));
    const started: SimPod[] = [];
    const failures: Error[] = [];
    for (const [index, [key]] of missing.entries()) {
      const result = results[index];
      if (result?.status === 'fulfilled') {
        this.#running.set(key, result.value);
        started.push(result.value);
      } else if (result !== undefined) failures.push(result.reason);
    }
    return { started, failures };
  }

  async close(): Promise<void> {
    await this.follow([]);
  }
}
