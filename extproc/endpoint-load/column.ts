/** One number for each slot, to read. Take it anew in every turn: a table that grows replaces its columns. */
export interface Column {
  readonly [slot: number]: number;
}

/** A copy with room for `length` values, the new ones 0. */
export function grown<Values extends Float64Array | Int32Array>(values: Values, length: number): Values {
  const larger = new (values.constructor as new (length: number) => Values)(length);
  larger.set(values);
  return larger;
}
