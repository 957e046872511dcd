import type { ApiObject } from '../../../operator/source/kubernetes/api-object.ts';

/** The part of a Pod that is acted on, with the API server's defaults: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ */
export interface PodObject {
  readonly metadata: ApiObject['metadata'] & {
    readonly annotations?: Readonly<Record<string, string>>;
    readonly deletionGracePeriodSeconds?: number;
  };
  readonly spec: PodSpec;
  readonly status: {
    readonly phase?: string;
    readonly conditions?: readonly Condition[];
    readonly startTime?: string;
  };
}

interface PodSpec {
  readonly nodeName: string;
  readonly serviceAccountName: string;
  readonly restartPolicy: 'Always' | 'OnFailure' | 'Never';
  readonly terminationGracePeriodSeconds: number;
  readonly enableServiceLinks?: boolean;
  readonly hostname?: string;
  readonly containers: readonly ContainerSpec[];
  readonly initContainers?: readonly ContainerSpec[];
  readonly volumes?: readonly Volume[];
  readonly readinessGates?: readonly { readonly conditionType: string }[];
  readonly hostAliases?: readonly { readonly ip: string; readonly hostnames?: readonly string[] }[];
}

export interface ContainerSpec {
  readonly name: string;
  readonly image: string;
  /** `Always` makes an init container a sidecar. */
  readonly restartPolicy?: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly workingDir?: string;
  readonly env?: readonly EnvVar[];
  readonly envFrom?: readonly {
    readonly prefix?: string;
    readonly configMapRef?: ObjectReference;
    readonly secretRef?: ObjectReference;
  }[];
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
  readonly resources?: { readonly limits?: Quantities; readonly requests?: Quantities };
  readonly volumeMounts?: readonly VolumeMount[];
  readonly startupProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly lifecycle?: { readonly postStart?: Handler; readonly preStop?: Handler };
  readonly securityContext?: { readonly readOnlyRootFilesystem?: boolean };
}

type Quantities = Readonly<Record<string, string>>;

export interface ObjectReference {
  readonly name: string;
  readonly optional?: boolean;
}

interface KeyReference extends ObjectReference {
  readonly key: string;
}

export interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: {
    readonly fieldRef?: FieldReference;
    readonly resourceFieldRef?: ResourceFieldReference;
    readonly configMapKeyRef?: KeyReference;
    readonly secretKeyRef?: KeyReference;
  };
}

export interface FieldReference {
  /** "metadata.labels['app']" */
  readonly fieldPath: string;
}

export interface ResourceFieldReference {
  readonly containerName?: string;
  /** "limits.memory" */
  readonly resource: string;
  readonly divisor?: string;
}

interface VolumeMount {
  readonly name: string;
  readonly mountPath: string;
  readonly subPath?: string;
  readonly readOnly?: boolean;
}

/** A Volume is one of its sources and a name. */
export interface Volume extends ProjectedSource {
  readonly name: string;
  readonly emptyDir?: object;
  readonly projected?: { readonly sources?: readonly ProjectedSource[]; readonly defaultMode?: number };
}

/** Files that come from the API server. */
export interface ProjectedSource {
  /** A volume of its own calls it `secretName`. */
  readonly secret?: Partial<ObjectReference> & FileSelection & { readonly secretName?: string };
  readonly configMap?: ObjectReference & FileSelection;
  readonly downwardAPI?: {
    readonly items?: readonly {
      readonly path: string;
      readonly mode?: number;
      readonly fieldRef?: FieldReference;
      readonly resourceFieldRef?: ResourceFieldReference;
    }[];
    readonly defaultMode?: number;
  };
  readonly serviceAccountToken?: {
    readonly path: string;
    readonly audience?: string;
    readonly expirationSeconds?: number;
  };
}

interface FileSelection {
  readonly items?: readonly { readonly key: string; readonly path: string; readonly mode?: number }[];
  readonly defaultMode?: number;
}

/** What a lifecycle hook or a probe does. */
export interface Handler {
  readonly exec?: { readonly command?: readonly string[] };
  readonly httpGet?: {
    readonly host?: string;
    readonly port: number | string;
    readonly path?: string;
    readonly scheme?: string;
    readonly httpHeaders?: readonly { readonly name: string; readonly value: string }[];
  };
  readonly tcpSocket?: { readonly host?: string; readonly port: number | string };
  readonly sleep?: { readonly seconds: number };
}

export interface Probe extends Handler {
  readonly initialDelaySeconds?: number;
  readonly periodSeconds: number;
  readonly timeoutSeconds: number;
  readonly successThreshold: number;
  readonly failureThreshold: number;
  readonly terminationGracePeriodSeconds?: number;
}

export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason?: string | null;
  readonly message?: string | null;
  readonly lastTransitionTime?: string | null;
}
