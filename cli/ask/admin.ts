const ANSWER_TIMEOUT_MS = 5_000;

/**
 * Reads a page of a running gateway's admin interface, which has at least the field `has`, whatever its status.
 *
 * @throws Error that says what to do when nobody answers there, or somebody else
 */
export async function askAdmin<Answer>(admin: string, page: string, has: keyof Answer & string): Promise<Answer> {
  let status: number;
  let body: string;
  try {
    const response = await fetch(new URL(page, admin), { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });
    status = response.status;
    body = await response.text();
  } catch (error) {
    const reason = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    throw new Error(
      `No gateway answers at ${admin} (${reason}). Start one with "fairlead up DIR", or name its admin address with --admin.`,
    );
  }
  const answer = objectIn(body);
  if (isAnswer<Answer>(answer, has)) return answer;
  // Only the status tells a gateway in trouble from another program: both may answer anything.
  if (status >= 500 && typeof answer?.error === 'string') throw new Error(`The gateway at ${admin}: ${answer.error}`);
  throw new Error(`${admin} is not a Fairlead admin address (port 8889 is the default). Name that with --admin.`);
}

/** Every page that is asked here describes its node. */
function isAnswer<Answer>(answer: object | undefined, has: keyof Answer & string): answer is Answer & object {
  return answer !== undefined && 'node' in answer && typeof answer.node === 'string' && has in answer;
}

function objectIn(body: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
