import type { Logger } from 'pino';
import type { ErrorDialect } from '../errors/body.ts';
import { isRefusal, type Refusal, refuse } from '../errors/refusal.ts';
import type { Gateway } from '../proto/gen/fairlead/v1/table_pb.js';
import { accessibleModel, visibleKey } from './accessible-model.ts';
import type { Admission } from './admit/admission.ts';
import { consultedLimits, type Grant } from './admit/grant.ts';
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
import type { CandidateView } from './pick/candidate-view.ts';
import { chooseStrategy } from './pick/choose-strategy.ts';
import { chosenNames, explanation } from './pick/explanation.ts';
import type { Picker } from './pick/picker.ts';
import { checkContextLength } from './request/context-length.ts';
import { refuseModelType, serves } from './request/endpoints.ts';
import { type InferenceHead, readHead } from './request/head.ts';
import { agree } from './request/model-name.ts';
import { readBody } from './request/read-body.ts';
import { type EstimatedTokens, estimateTokens } from './request/request-facts.ts';
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
  #head: InferenceHead | undefined;
  #dialect: ErrorDialect = 'openai';
  /** Known from the headers on, of all that ask for more than whether the gateway is ready. */
  #caller: Caller | undefined;
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
    this.#caller = caller;
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
    this.#stream.send(encodeRouting(routingOf(picked, load)));
    ledger.tally.picked(nowMs() - startedMs);
  }

  #pickFor(request: InferenceRequest, grant: Grant, nowMs: number): PickedRequest | Refusal {
    try {
      return this.#pick(request, grant, nowMs);
    } catch (error) {
      this.#plane.admission.cancel(grant);
      throw error;
    }
  }

  /** The whole request: what its body says, for which model, by which strategy. */
  #read(body: Uint8Array): InferenceRequest | Refusal {
    const { gateway } = this.#plane.models;
    const head = this.#head;
    const caller = this.#caller;
    if (gateway === undefined || head === undefined || caller === undefined) return refuse('gateway_unavailable');
    const facts = readBody(head, body, gateway);
    if (isRefusal(facts)) return facts;
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

  readonly #keyOf = (name: string): string | undefined =>
    this.#caller && visibleKey(this.#plane.models, name, this.#caller);

  #findModel(name: string, head: InferenceHead, caller: Caller): ModelEntry | Refusal {
    const entry = accessibleModel(this.#plane.models, name, caller);
    if (isRefusal(entry)) return entry;
    this.#model = entry.model.id;
    return serves(head.endpoint, entry.model.type) ? entry : refuseModelType(head.endpoint, entry.model.type);
  }

  /** Picks, and reserves in the same turn, so that the next pick sees this one. */
  #pick(request: InferenceRequest, grant: Grant, nowMs: number): PickedRequest | Refusal {
    const { picker, models, log, nextId } = this.#plane;
    const { caller, head, entry, strategy } = request;
    const tokens = estimateTokens(head.endpoint, request.body.length, request.facts);
    const mayExplain = caller.consumer?.consumer.explainAllowed || models.gateway?.explainAllowed;
    const explained = head.explain && mayExplain === true;
    const seen = explained || log.isLevelEnabled('debug') ? picker.explain(entry, strategy, nowMs) : undefined;
    const pick = picker.pick(entry, strategy, tokens, nowMs);
    if (pick === undefined) return refuseUnready(entry);
    const picked = { ...request, id: nextId(), pick, grant };
    this.#reserve(picked, tokens, nowMs);
    if (seen !== undefined) this.#logPick(picked, seen);
    return {
      ...picked,
      explanation: explained && seen ? explanation(strategy, seen, pick, consultedLimits(grant)) : undefined,
    };
  }

  #reserve(
    { id, caller, head, entry, pick, facts, grant }: Omit<PickedRequest, 'explanation'>,
    tokens: EstimatedTokens,
    startedMs: number,
  ): void {
    const { load, ledger } = this.#plane;
    const { backend, slots: candidates } = pick;
    const [first = 0] = candidates;
    const reservation = load.reserve(first, tokens.promptTokens + tokens.outputTokens, startedMs);
    const { endpoint } = head;
    const { stream } = facts;
    const reserved = { grant, candidates, reservation, ...tokens };
    ledger.open({ id, caller, endpoint, entry, backend, ...reserved, stream, startedMs });
    this.#id = id;
  }

  /** The decision log: what was known and what was chosen. */
  #logPick(
    { id, entry, strategy, pick }: Omit<PickedRequest, 'explanation'>,
    candidates: readonly CandidateView[],
  ): void {
    const { load, log } = this.#plane;
    log.debug({
      event: 'pick.decided',
      id,
      model: entry.model.id,
      key: entry.key,
      strategy,
      backend: pick.backend.config.name,
      chosen: chosenNames(pick),
      // Names of endpoints listed by address are their places in a list: another model may call them otherwise.
      addresses: pick.slots.map(slot => load.address(slot)),
      candidates,
    });
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

function refuseUnready({ model }: ModelEntry): Refusal {
  return refuse('no_ready_endpoints', { message: `No endpoint of ${model.id} is ready now. Try again shortly.` });
}
