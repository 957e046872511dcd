import type { Epoch } from './row-reuse.ts';

/** One exchange's claim on an endpoint: in flight until released, its tokens reserved until settled. */
export interface Reservation {
  /** Where it is now: `move` changes it. */
  readonly slot: number;
}

/** What EndpointLoad keeps of a reservation. Only EndpointLoad makes and changes it. */
export class OpenReservation implements Reservation {
  slot: number;
  /** Whole tokens reserved; 0 once settled. */
  tokens: number;
  /** When the row it remembers may be given away. */
  readonly epoch: Epoch;
  released = false;
  settled = false;
  /** Whether it is the trial request of a half-open endpoint. */
  probe = false;

  constructor(slot: number, tokens: number, epoch: Epoch) {
    this.slot = slot;
    this.tokens = tokens;
    this.epoch = epoch;
  }

  get over(): boolean {
    return this.released && this.settled;
  }
}
