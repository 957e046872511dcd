import { IANAZone } from 'luxon';
import { type Budget, BudgetPeriod } from '../../proto/gen/fairlead/v1/table_pb.js';

/** A day or a month of a calendar: from its start until just before its end, milliseconds since the epoch. */
export interface Period {
  readonly startMs: number;
  readonly endMs: number;
}

type Unit = 'day' | 'month';

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
const UTC = IANAZone.create('Etc/UTC');

/** The latest period of each budget: one object for all requests within it. */
const latest = new WeakMap<Budget, Period>();
let latestUtcMonth: Period = { startMs: 0, endMs: 0 };

/** The period of a budget that has this moment in it. */
export function periodOf(budget: Budget, nowMs: number): Period {
  const known = latest.get(budget);
  if (known !== undefined && contains(known, nowMs)) return known;
  const zone = IANAZone.isValidZone(budget.timeZone) ? IANAZone.create(budget.timeZone) : UTC;
  const period = calendarPeriod(budget.period === BudgetPeriod.DAY ? 'day' : 'month', zone, nowMs);
  latest.set(budget, period);
  return period;
}

/** The month of UTC that has this moment in it: what is counted without a budget is counted by it. */
export function utcMonth(nowMs: number): Period {
  if (!contains(latestUtcMonth, nowMs)) latestUtcMonth = calendarPeriod('month', UTC, nowMs);
  return latestUtcMonth;
}

function contains({ startMs, endMs }: Period, nowMs: number): boolean {
  return startMs <= nowMs && nowMs < endMs;
}

/**
 * Where clocks are set back over midnight, an hour after a day's beginning bears the date before: a day begins once, so
 * that hour belongs to the new one.
 */
function calendarPeriod(unit: Unit, zone: IANAZone, nowMs: number): Period {
  let { year, month, day } = localDate(zone, nowMs);
  if (unit === 'month') day = 1;
  let startMs = dayStart(zone, Date.UTC(year, month, day));
  for (;;) {
    if (unit === 'month') month++;
    else day++;
    const endMs = dayStart(zone, Date.UTC(year, month, day));
    if (nowMs < endMs) return { startMs, endMs };
    startMs = endMs;
  }
}

function localDate(zone: IANAZone, ms: number): { year: number; month: number; day: number } {
  const local = new Date(ms + offsetMs(zone, ms));
  return { year: local.getUTCFullYear(), month: local.getUTCMonth(), day: local.getUTCDate() };
}

/**
 * The earliest moment at which a day has begun. It begins later than at midnight where clocks are set forward then, and
 * at the first of two midnights where they are set back.
 *
 * @param midnightMs the day's midnight, as if it were in UTC
 */
function dayStart(zone: IANAZone, midnightMs: number): number {
  // No zone is further than 14 h from UTC, and none changes its clocks twice within two days.
  const before = midnightMs - offsetMs(zone, midnightMs - DAY_MS);
  const after = midnightMs - offsetMs(zone, midnightMs + DAY_MS);
  const earlier = Math.min(before, after);
  return earlier + offsetMs(zone, earlier) >= midnightMs ? earlier : Math.max(before, after);
}

function offsetMs(zone: IANAZone, ms: number): number {
  return Math.round(zone.offset(ms) * MINUTE_MS);
}
