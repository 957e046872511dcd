import { type Plan, plan } from '../../operator/plan/plan.ts';
import { type PublishEvent, Publisher } from '../../operator/publish/publisher.ts';
import type { ClusterState } from '../../operator/source/cluster-state.ts';
import type { DirectoryReading } from '../../operator/source/directory.ts';

/** A source's state, with whatever else it has to say of it. */
interface Reading {
  readonly state: ClusterState;
}

interface ControlPlaneOptions<Read extends Reading> {
  /** Begins to follow a source; done when the first state was told. */
  readonly watch: (onState: (reading: Read) => void) => Promise<{ readonly ended: Promise<void> }>;
  /** Where agents find it: "unix:/path" or "host:port". */
  readonly listen: string;
  /** Whether this is a laptop rather than a cluster: listeners on loopback, explain allowed. */
  readonly standalone: boolean;
  readonly signal: AbortSignal;
  readonly onPlan: (planned: PlannedState<Read>) => void;
  /** The source ended, which it should not. */
  readonly onFailure: (error: Error) => void;
  readonly onEvent: (event: PublishEvent) => void;
  /** What an agent reported is different. */
  readonly onAgents: () => void;
}

/** A plan, what it was made from, and the table version that it became. */
export interface PlannedState<Read extends Reading = DirectoryReading> {
  readonly plan: Plan;
  readonly reading: Read;
  readonly version: string;
}

/** Plans what a source declares, at every change, and publishes it to agents. */
export async function startControlPlane<Read extends Reading>(options: ControlPlaneOptions<Read>): Promise<Publisher> {
  const { watch, listen, standalone, signal, onPlan, onFailure, onEvent, onAgents } = options;
  const publisher = new Publisher({ onEvent, onChange: onAgents });
  let previous: Plan | undefined;
  const { ended } = await watch(reading => {
    const planned = plan(reading.state, { standalone }, previous);
    const version = publisher.publish(planned);
    previous = planned;
    onPlan({ plan: planned, reading, version });
  });
  ended.catch(onFailure);
  // Not before the first table: an agent that reconnects must not be told that everything is gone.
  await publisher.listen(listen, signal);
  return publisher;
}
