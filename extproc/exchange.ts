import type { Logger } from 'pino';
import type { ErrorDialect } from '../errors/body.ts';
import { isRefusal, type Refusal, refuse } from '../errors/refusal.ts';
import type { Gateway } from '../proto/gen/fairlead/v1/table_pb.js';
import { accessibleModel, visibleKey } from './accessible-model.ts';
import type { Admission } from './admit/admission.ts';
import type { Grant } from './admit/grant.ts';
import { jsonAnswer, refusalAnswer } from './answers.ts';
import type { EndpointLoad } from './endpoint-load/endpoint-load.ts';
import { guard } from './guard.ts';
import type { Caller } from './identity/caller.ts';
import type { ConsumerIndex } from './identity/consumer-index.ts';
import { identify } from './identity/identify.ts';
import { verifiedTokens } from './identity/token-claims.ts';
import type { ModelEntry, ModelIndex } from './models/model-index.ts';
import type { Ledger } from './outcome/ledger.ts';
import { ownAnswer } from './own-answers.ts';
import { chooseStrategy } from './pick/choose-strategy.ts';
import type { Picker } from './pick/picker.ts';
import { pickEndpoint } from './pick-endpoint.ts';
import { checkContextLength } from './request/context-length.ts';
import { refuseModelType, serves } from './request/endpoints.ts';
import { type InferenceHead, readHead } from './request/head.ts';
import { agree } from './request/model-name.ts';
import { readBody } from './request/read-body.ts';
import { parseTarget, type Target } from './request/target.ts';
import { type InferenceRequest, type PickedRequest, routingOf } from './routing.ts';
import { decodeProcessingRequest, type RequestHeadersMessage } from './server/decode.ts';
import { CONTINUE, encodeImmediate, encodeRouting } from './server/encode.ts';
import type { RequestHeaders } from './server/request-headers.ts';
import type { ExchangeHandler, ExchangeStream } from './server/transport.ts';

/** What every exchange of one data plane shares. */
export interface DataPlane {
  readonly models: ModelIndex;
  readonly consumers: ConsumerIndex;
  readonly admission: Admission;
  readonly load: EndpointLoad;
  readonly picker: Picker;
  readonly ledger: Ledger;
  readonly log: Logger;
  /** Milliseconds of a clock that never goes back. */
  readonly nowMs: () => number;
  /** Milliseconds since the epoch. */
  readonly epochMs: () => number;
  /** An id that no other exchange of this process has. */
  readonly nextId: () => string;
}

/**
 * One HTTP exchange, from its headers to its end:
 * identify the caller → read the head → answer or refuse at once what can be → read the body → find the model → let it
 * pass its limits → pick an endpoint and reserve it → send the request on its way → release it when the exchange is
 * over. What the answer cost is settled later, from Envoy's access record, by the ledger.
 */
export class Exchange implements ExchangeHandler {
  readonly #plane: DataPlane;
  readonly #stream: ExchangeStream;
  /** The part of the request that comes next. */
  #awaited: 'request_headers' | 'request_body' | undefined = 'request_headers';
  /** Kept until an endpoint is picked, as who asks is told by it once more where the table changes. */
  #headers: RequestHeadersMessage | undefined;
  #head: InferenceHead | undefined;
  #dialect: ErrorDialect = 'openai';
  /** Known from the headers on, of all that ask for more than whether the gateway is ready. */
  #caller: Caller | undefined;
  /** Revision of the table by which the caller was identified, and his model found. */
  #revision = -1;
  /** Public id of the model that the request is for, once that is known: a refusal is counted as that model's. */
  #model: string | undefined;
  /** Set once an endpoint is reserved. */
  #id: string | undefined;
  #closed = false;

  constructor(plane: DataPlane, stream: ExchangeStream) {
    this.#plane = plane;
    this.#stream = stream;
  }

  message(frame: Uint8Array): void {
    this.#attempt(() => this.#onMessage(frame));
  }

  /** A mistake of ours costs this request an error; it must not cost all others their process. */
  #attempt(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#plane.log.error({ event: 'exchange.failed', err: error });
      this.#refuse(refuse('internal_error'));
    }
  }

  #onMessage(frame: Uint8Array): void {
    const message = decodeProcessingRequest(frame);
    switch (message.kind) {
      case 'request_headers':
        this.#take('request_headers');
        return this.#onHeaders(message);
      case 'request_body':
        this.#take('request_body');
        return this.#onBody(message.body);
      case 'response_trailers':
        return this.#stream.send(CONTINUE.trailers);
      case 'other':
        return this.#stream.end();
    }
  }

  closed(): void {
    this.#closed = true;
    const { ledger, log } = this.#plane;
    const id = this.#id;
    if (id !== undefined) guard(log, 'exchange.failed', () => ledger.ended(id));
  }

  /** Each part of a request comes once, headers first: a second body would be a second reservation, never released. */
  #take(part: 'request_headers' | 'request_body'): void {
    if (this.#awaited !== part) throw new Error(`exchange: ${part} where ${this.#awaited ?? 'no part'} was awaited`);
    this.#awaited = undefined;
  }

  #onHeaders(message: RequestHeadersMessage): void {
    const { headers, endOfStream } = message;
    const path = headers.get(':path') ?? '';
    // Until the endpoint is known: its clients want even "no such endpoint" in their own shape.
    if (path.startsWith('/v1/messages')) this.#dialect = 'anthropic';
    const { gateway } = this.#plane.models;
    if (gateway === undefined) return this.#refuse(refuse('gateway_unavailable'));
    const target = parseTarget(headers.get(':method') ?? '', path, headers.get('accept'));
    if (isRefusal(target)) return this.#refuse(target);
    if (target.kind === 'ready') return this.#reply({ status: 'ok', table: this.#plane.models.version });
    const caller = this.#identify(message, gateway);
    if (isRefusal(caller)) return this.#refuse(caller);
    this.#headers = message;
    this.#caller = caller;
    this.#revision = this.#plane.models.revision;
    if (target.kind !== 'inference') return this.#answer(target, caller, gateway);
    this.#dialect = target.endpoint.dialect;
    const head = this.#acceptHead(target, headers, caller, gateway);
    if (isRefusal(head)) return this.#refuse(head);
    if (endOfStream) return this.#refuse(refuse('invalid_json', { message: 'The request body is empty. Send one.' }));
    this.#head = head;
    this.#awaited = 'request_body';
    this.#stream.send(CONTINUE.headers);
  }

  #identify(message: RequestHeadersMessage, gateway: Gateway): Caller | Refusal {
    const { consumers, epochMs } = this.#plane;
    return identify(message.headers, verifiedTokens(message.jwt), gateway, consumers, epochMs());
  }

  /** The head, with the model that it names looked up: an unknown one is refused before its body is buffered. */
  #acceptHead(
    target: Extract<Target, { kind: 'inference' }>,
    headers: RequestHeaders,
    caller: Caller,
    gateway: Gateway,
  ): InferenceHead | Refusal {
    const head = readHead(target, headers, gateway, this.#keyOf);
    if (isRefusal(head) || head.model === undefined) return head;
    const entry = this.#findModel(head.model, head, caller);
    return isRefusal(entry) ? entry : head;
  }

  /** Read → admitted → picked and reserved → on its way. */
  #onBody(body: Uint8Array): void {
    const request = this.#read(body);
    if (isRefusal(request)) return this.#refuse(request);
    const { gateway, caller, entry, facts } = request;
    const { endpoint } = request.head;
    const answer = this.#plane.admission.admit({ gateway, caller, entry, endpoint, body, facts });
    if (!(answer instanceof Promise)) return this.#onAdmission(request, answer);
    void answer.then(answer => this.#attempt(() => this.#onAdmission(request, answer)));
  }

  /** A client that went away while its limits were asked for takes no endpoint. */
  #onAdmission(request: InferenceRequest, answer: Grant | Refusal): void {
    const { admission, load, ledger, nowMs } = this.#plane;
    if (isRefusal(answer)) return this.#closed ? undefined : this.#refuse(answer);
    if (this.#closed) return admission.cancel(answer);
    const startedMs = nowMs();
    const picked = this.#pickFor(request, answer, startedMs);
    if (isRefusal(picked)) {
      admission.cancel(answer);
      return this.#refuse(picked);
    }
    this.#id = picked.id;
    this.#headers = undefined;
    this.#stream.send(encodeRouting(routingOf(picked, load)));
    ledger.tally.picked(nowMs() - startedMs);
  }

  #pickFor(request: InferenceRequest, grant: Grant, nowMs: number): PickedRequest | Refusal {
    try {
      const current = this.#renew(request);
      return isRefusal(current) ? current : pickEndpoint(this.#plane, current, grant, nowMs);
    } catch (error) {
      this.#plane.admission.cancel(grant);
      throw error;
    }
  }

  /**
   * The request by the table of now: since its limits were asked for its caller may have gone, or an endpoint, whose
   * place another model's may have taken.
   */
  #renew(request: InferenceRequest): InferenceRequest | Refusal {
    if (this.#revision === this.#plane.models.revision) return request;
    const renewed = this.#resolve(request);
    if (isRefusal(renewed)) return renewed;
    if (renewed.entry.key === request.entry.key && renewed.caller.key === request.caller.key) return renewed;
    return refuse('gateway_unavailable', { message: 'The name, or the key, now is of another. Try again.' });
  }

  /** The whole request: what its body says, for which model, by which strategy. */
  #read(body: Uint8Array): InferenceRequest | Refusal {
    const { gateway } = this.#plane.models;
    const head = this.#head;
    if (gateway === undefined || head === undefined) return refuse('gateway_unavailable');
    const facts = readBody(head, body, gateway);
    return isRefusal(facts) ? facts : this.#resolve({ gateway, head, body, facts });
  }

  /** Who asks for which model, and how that is chosen for, by the table of now. */
  #resolve(asked: Pick<InferenceRequest, 'gateway' | 'head' | 'body' | 'facts'>): InferenceRequest | Refusal {
    const { head, body, facts } = asked;
    const { gateway = asked.gateway } = this.#plane.models;
    const caller = this.#callerNow(gateway);
    if (isRefusal(caller)) return caller;
    const name = agree(head.model, facts.model?.value, this.#keyOf) ?? refuse('missing_model', { param: 'model' });
    if (typeof name === 'object') return name;
    const entry = this.#findModel(name, head, caller);
    if (isRefusal(entry)) return entry;
    const strategy = chooseStrategy(entry.model, head.strategy);
    if (typeof strategy === 'object') return strategy;
    return (
      checkContextLength(entry.model.maxContextLength, facts) ?? { gateway, caller, head, body, facts, entry, strategy }
    );
  }

  /** Who calls, identified again where the table has changed: his key may be withdrawn, or his models be others. */
  #callerNow(gateway: Gateway): Caller | Refusal {
    const { revision } = this.#plane.models;
    if (this.#headers === undefined) return refuse('gateway_unavailable');
    if (this.#caller !== undefined && this.#revision === revision) return this.#caller;
    const caller = this.#identify(this.#headers, gateway);
    if (isRefusal(caller)) return caller;
    this.#caller = caller;
    this.#revision = revision;
    return caller;
  }

  readonly #keyOf = (name: string): string | undefined =>
    this.#caller && visibleKey(this.#plane.models, name, this.#caller);

  #findModel(name: string, head: InferenceHead, caller: Caller): ModelEntry | Refusal {
    const entry = accessibleModel(this.#plane.models, name, caller);
    if (isRefusal(entry)) return entry;
    this.#model = entry.model.id;
    return serves(head.endpoint, entry.model.type) ? entry : refuseModelType(head.endpoint, entry.model.type);
  }

  #answer(target: Exclude<Target, { kind: 'inference' | 'ready' }>, caller: Caller, gateway: Gateway): void {
    const answer = ownAnswer(this.#plane, target, caller, gateway);
    const tell = (answer: object | Refusal) => (isRefusal(answer) ? this.#refuse(answer) : this.#reply(answer));
    if (answer instanceof Promise) void answer.then(answer => this.#attempt(() => tell(answer)));
    else tell(answer);
  }

  #reply(value: object): void {
    this.#stream.send(encodeImmediate(jsonAnswer(value, this.#caller?.name)));
  }

  #refuse(refusal: Refusal): void {
    const about = { model: this.#model, consumer: this.#caller?.name };
    this.#stream.send(encodeImmediate(refusalAnswer(refusal, this.#dialect, about)));
  }
}
