import type { ApiConnection } from '../../api/api-connection.ts';
import { type ApiFailure, fieldsOf, parse } from '../../api/api-failure.ts';
import { type ApiObject, type Collection, collectionPath } from './api-object.ts';

/** Objects asked for at a time: parsing a page of pods takes a few milliseconds. */
const PAGE_OBJECTS = 500;

/** The last page's version, from which a watch goes on, or why there is none. */
export type ListEnd =
  | { readonly resourceVersion: string; readonly failure?: never }
  | { readonly resourceVersion?: never; readonly failure: ApiFailure };

/** Lists a collection as it is now, in pages or (`whole`) all at once. Rejects when the connection fails. */
export async function listPages(
  api: ApiConnection,
  collection: Collection,
  options: { readonly whole: boolean; readonly signal: AbortSignal; readonly onObject: (object: ApiObject) => void },
): Promise<ListEnd> {
  let next: string | undefined;
  for (;;) {
    const answer = await api.get(
      collectionPath(collection),
      pageQuery(collection, options.whole, next),
      options.signal,
    );
    if (answer.failure !== undefined) return answer;
    const { metadata, items } = fieldsOf(parse(await textOf(answer.body)));
    const { resourceVersion, continue: token } = fieldsOf(metadata);
    if (typeof resourceVersion !== 'string' || !Array.isArray(items)) {
      return { failure: { code: 200, message: 'the answer is not a list' } };
    }
    for (const object of items as ApiObject[]) options.onObject(object);
    if (typeof token !== 'string' || token === '') return { resourceVersion };
    next = token;
  }
}

function pageQuery({ fieldSelector }: Collection, whole: boolean, next: string | undefined): Record<string, string> {
  return {
    ...(fieldSelector !== undefined && { fieldSelector }),
    ...(!whole && { limit: String(PAGE_OBJECTS) }),
    ...(next !== undefined && { continue: next }),
  };
}

async function textOf(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
