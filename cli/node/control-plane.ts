import { type Plan, plan } from '../../operator/plan/plan.ts';
import type { Publisher } from '../../operator/publish/publisher.ts';
import type { ClusterState } from '../../operator/source/cluster-state.ts';
import type { DirectoryReading } from '../../operator/source/directory.ts';

/** A source's state, with whatever else it has to say of it. */
interface Reading {
  readonly state: ClusterState;
}

interface ControlPlaneOptions<Read extends Reading> {
  readonly publisher: Publisher;
  /** Begins to follow a source; done when the first state was told. */
  readonly watch: (onState: (reading: Read) => void) => Promise<{ readonly ended: Promise<void> }>;
  /** Whether this is a laptop rather than a cluster: listeners on loopback, explain allowed. */
  readonly standalone: boolean;
  readonly onPlan: (planned: PlannedState<Read>) => void;
  /** The source ended, which it should not. */
  readonly onFailure: (error: Error) => void;
}

/** A plan, what it was made from, and the table version that it became. */
export interface PlannedState<Read extends Reading = DirectoryReading> {
  readonly plan: Plan;
  readonly reading: Read;
  readonly version: string;
}

/**
 * Plans what a source declares, at every change, and publishes it. Done with the first table, and the publisher is not
 * to listen before: an agent that reconnects must not be told that everything is gone.
 */
export async function startControlPlane<Read extends Reading>(options: ControlPlaneOptions<Read>): Promise<void> {
  const { publisher, watch, standalone, onPlan, onFailure } = options;
  let previous: Plan | undefined;
  const { ended } = await watch(reading => {
    const planned = plan(reading.state, { standalone }, previous);
    const version = publisher.publish(planned);
    previous = planned;
    onPlan({ plan: planned, reading, version });
  });
  ended.catch(onFailure);
}
