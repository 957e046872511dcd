import { z } from 'zod';
import { currency, money } from './money.ts';

/** What a model costs its callers. */
export const pricingSchema = z
  .strictObject({
    currency: currency().describe('Currency of the prices, by its three capitals.'),
    promptPerMillion: money()
      .optional()
      .describe('Price of a million tokens of prompt, as a string; free when absent.'),
    cachedPromptPerMillion: money()
      .optional()
      .describe('Price of a million tokens of prompt that were cached; as any when absent.'),
    completionPerMillion: money()
      .optional()
      .describe('Price of a million tokens of answer, as a string; free when absent.'),
    perRequest: money().optional().describe('Price of a request, as a string; free when absent.'),
    perImage: money().optional().describe('Price of an image, as a string; free when absent.'),
    perAudioMinute: money().optional().describe('Price of a minute of audio, as a string; free when absent.'),
  })
  .check(context => {
    if (context.issues.length > 0) return;
    const { currency: _, ...prices } = context.value;
    const named = Object.values(prices).some(price => price !== undefined);
    const message = 'names no price: give at least one, or leave `pricing` out where the model is free';
    if (!named) context.issues.push({ code: 'custom', input: context.value, path: [], message });
  });
