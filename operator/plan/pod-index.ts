import type { Pod } from '../source/cluster-state.ts';

const NONE: ReadonlySet<Pod> = new Set();

/** A selector made ready for asking the index again and again: a term for each of its labels. */
export type SelectorTerms = readonly string[];

/** The terms of a selector that asks for all of `matchLabels` in one namespace. */
export function selectorTerms(namespace: string, matchLabels: Readonly<Record<string, string>>): SelectorTerms {
  return Object.entries(matchLabels).map(([label, value]) => term(namespace, label, value));
}

function term(namespace: string, label: string, value: string): string {
  return `${namespace}/${label}=${value}`;
}

/** Pods by namespace and label, so that a selector looks at few of them. */
export class PodIndex {
  #pods: ReadonlyMap<string, Pod> = new Map();
  readonly #byTerm = new Map<string, Set<Pod>>();

  /**
   * Takes over from the pods before. Gives the terms whose pods are others now: only a selector all of whose terms are
   * among them can have an answer that is another.
   */
  update(pods: ReadonlyMap<string, Pod>): ReadonlySet<string> {
    const touched = new Set<string>();
    const before = this.#pods;
    if (before === pods) return touched;
    let kept = 0;
    for (const [key, pod] of pods) {
      const old = before.get(key);
      if (old !== undefined) kept++;
      if (old === pod) continue;
      if (old !== undefined) this.#remove(old, touched);
      this.#add(pod, touched);
    }
    if (kept < before.size) for (const [key, pod] of before) if (!pods.has(key)) this.#remove(pod, touched);
    this.#pods = pods;
    return touched;
  }

  /** The pods that have all of `matchLabels`, whose terms these are; in no order. */
  select(terms: SelectorTerms, matchLabels: Readonly<Record<string, string>>): Pod[] {
    let fewest = NONE;
    for (const [index, key] of terms.entries()) {
      const pods = this.#byTerm.get(key) ?? NONE;
      if (index === 0 || pods.size < fewest.size) fewest = pods;
    }
    const wanted = Object.entries(matchLabels);
    return [...fewest].filter(({ labels }) => wanted.every(([label, value]) => labels[label] === value));
  }

  #add(pod: Pod, touched: Set<string>): void {
    for (const key of termsOf(pod)) {
      touched.add(key);
      const pods = this.#byTerm.get(key);
      if (pods === undefined) this.#byTerm.set(key, new Set([pod]));
      else pods.add(pod);
    }
  }

  #remove(pod: Pod, touched: Set<string>): void {
    for (const key of termsOf(pod)) {
      touched.add(key);
      const pods = this.#byTerm.get(key);
      pods?.delete(pod);
      if (pods?.size === 0) this.#byTerm.delete(key);
    }
  }
}

function termsOf(pod: Pod): string[] {
  return Object.entries(pod.labels).map(([label, value]) => term(pod.namespace, label, value));
}
