import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { envoyBinary } from '../../cli/setup/envoy-binary.ts';

/** A real Envoy that knows nothing but where its ADS is: a Unix socket in `directory`. */
export class EnvoyProcess {
  readonly #directory: string;
  #child: ChildProcess | undefined;
  #log = '';

  constructor(directory: string) {
    this.#directory = directory;
  }

  static readonly nodeId = 'envoy-under-test';

  /** Where the ADS server has to listen. */
  get adsAddress(): string {
    return `unix:${join(this.#directory, 'ads')}`;
  }

  /** What Envoy wrote: for the message of a failed assertion. */
  get log(): string {
    return this.#log;
  }

  async start(): Promise<void> {
    const config = join(this.#directory, 'envoy.json');
    await writeFile(config, JSON.stringify(this.#bootstrap()));
    const binary = await envoyBinary(line => process.stderr.write(`${line}\n`));
    // Hot restart would claim a region of shared memory that parallel tests collide in.
    const args = ['--config-path', config, '--concurrency', '1', '--disable-hot-restart', '--log-level', 'warning'];
    const child = spawn(binary, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child = child;
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#log += text;
    });
    await once(child, 'spawn');
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /** A counter or gauge of Envoy's; undefined where it does not exist. */
  async stat(name: string): Promise<number | undefined> {
    const text = await this.#admin(`/stats?filter=^${name.replaceAll('.', '\\.')}$`);
    const value = text.match(/: (\d+)/)?.[1];
    return value === undefined ? undefined : Number(value);
  }

  #admin(path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      request({ socketPath: join(this.#directory, 'admin'), path }, async response => {
        resolve((await response.toArray()).join(''));
      })
        .on('error', reject)
        .end();
    });
  }

  #bootstrap(): object {
    const pipe = (name: string) => ({ pipe: { path: join(this.#directory, name) } });
    const fromAds = { ads: {}, resource_api_version: 'V3', initial_fetch_timeout: '0s' };
    return {
      node: { id: EnvoyProcess.nodeId, cluster: 'test' },
      admin: { address: pipe('admin') },
      dynamic_resources: {
        ads_config: {
          api_type: 'DELTA_GRPC',
          transport_api_version: 'V3',
          set_node_on_first_message_only: true,
          grpc_services: [
            {
              envoy_grpc: {
                cluster_name: 'ads',
                retry_policy: { retry_back_off: { base_interval: '0.1s', max_interval: '1s' } },
              },
            },
          ],
        },
        cds_config: fromAds,
        lds_config: fromAds,
      },
      static_resources: {
        clusters: [
          {
            name: 'ads',
            type: 'STATIC',
            load_assignment: {
              cluster_name: 'ads',
              endpoints: [{ lb_endpoints: [{ endpoint: { address: pipe('ads') } }] }],
            },
            typed_extension_protocol_options: {
              'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
                '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
                explicit_http_config: { http2_protocol_options: {} },
              },
            },
          },
        ],
      },
    };
  }
}
