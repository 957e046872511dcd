import { EXCHANGE_NAMESPACE, type ExchangeFact } from '../../proto/exchange-names.ts';

/** Envoy's substitution for something that extproc said of an exchange; nothing where it did not. */
export function exchangeFact(fact: ExchangeFact): string {
  return `%DYNAMIC_METADATA(${EXCHANGE_NAMESPACE}:${fact})%`;
}
