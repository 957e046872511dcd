import type { ListenerJson } from '../../proto/gen/envoy/config/listener/v3/listener_pb.js';

/**
 * Names of the listeners that come to a port at another address than the one at which it was open: all addresses are
 * not to be had while one of them is in use, nor the other way round, and Envoy opens before it closes.
 */
export function movedListeners(
  before: ReadonlyMap<string, ListenerJson>,
  next: ReadonlyMap<string, ListenerJson>,
): ReadonlySet<string> {
  const open = [...before.values()].map(placeOf);
  const moved = [...next].filter(([, listener]) => {
    const { address, port } = placeOf(listener);
    const onPort = open.filter(place => place.port === port);
    return onPort.length > 0 && onPort.every(place => place.address !== address);
  });
  return new Set(moved.map(([name]) => name));
}

function placeOf({ address }: ListenerJson) {
  return { address: address?.socketAddress?.address, port: address?.socketAddress?.portValue };
}
