/** Tokens of a KV block: vLLM's default. */
export const BLOCK_TOKENS = 16;

/**
 * How many blocks of the KV cache each sequence holds. Counts only: blocks have no identity, since nothing is
 * shared between sequences here.
 */
export class KvCache {
  readonly totalBlocks: number;
  #freeBlocks: number;

  constructor(kvTokens: number) {
    this.totalBlocks = Math.floor(kvTokens / BLOCK_TOKENS);
    this.#freeBlocks = this.totalBlocks;
  }

  get usedBlocks(): number {
    return this.totalBlocks - this.#freeBlocks;
  }

  /**
   * Makes `holder` hold as many blocks as `tokens` need.
   *
   * @returns false, and nothing changed, when there are too few free ones
   */
  grow(holder: { blocks: number }, tokens: number): boolean {
    const missing = Math.ceil(tokens / BLOCK_TOKENS) - holder.blocks;
    if (missing > this.#freeBlocks) return false;
    if (missing > 0) {
      this.#freeBlocks -= missing;
      holder.blocks += missing;
    }
    return true;
  }

  free(holder: { blocks: number }): void {
    this.#freeBlocks += holder.blocks;
    holder.blocks = 0;
  }
}
