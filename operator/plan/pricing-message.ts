import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ModelDeploymentSpec } from '../../crds/model-deployment.ts';
import { picoOf, picoOfOne } from '../../crds/money.ts';
import type { PricingSchema } from '../../proto/gen/fairlead/v1/table_pb.js';

/** Prices as the table carries them, in 10^-12 of the currency. */
export function pricingMessage(
  pricing: NonNullable<ModelDeploymentSpec['pricing']>,
): MessageInitShape<typeof PricingSchema> {
  const { currency, promptPerMillion, cachedPromptPerMillion, completionPerMillion } = pricing;
  const { perRequest, perImage, perAudioMinute } = pricing;
  return {
    currency,
    promptToken: picoOfOne(promptPerMillion ?? FREE),
    ...(cachedPromptPerMillion !== undefined && { cachedPromptToken: picoOfOne(cachedPromptPerMillion) }),
    completionToken: picoOfOne(completionPerMillion ?? FREE),
    request: picoOf(perRequest ?? FREE),
    image: picoOf(perImage ?? FREE),
    audioMinute: picoOf(perAudioMinute ?? FREE),
  };
}

const FREE = '0';
