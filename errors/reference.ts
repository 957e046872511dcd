import { anthropicType } from './anthropic-type.ts';
import { ERRORS, type ErrorCode, errorSpec } from './codes.ts';

const INTRODUCTION = `# Errors

Every error of the gateway is JSON, also those that Envoy makes itself. Upstream errors pass unchanged.

\`\`\`json
{"error": {"message": "what happened and what to do", "type": "…", "code": "…", "param": null, "retry_after": 1}}
\`\`\`

On \`/v1/messages\` the shape is Anthropic's: \`{"type": "error", "error": {"type": "…", "message": "…"}}\`.
\`retry_after\` (seconds, also as the \`retry-after\` header) is there where waiting helps. \`param\` names the parameter at fault.
Match on \`code\`, which is stable; messages are for people and usually say more than the ones below.
A request refused over HTTP/2 for its headers is reset without an answer, and an answer that breaks off in the middle is cut.

| Status | \`code\` | \`type\` | Anthropic's type | Message |
|---|---|---|---|---|
`;

/** `docs/reference/errors.md`, whole; `make docs` writes it. */
export function errorReference(): string {
  const codes = Object.keys(ERRORS) as ErrorCode[];
  const byStatus = codes.sort((a, b) => errorSpec(a).status - errorSpec(b).status);
  return INTRODUCTION + byStatus.map(row).join('');
}

function row(code: ErrorCode): string {
  const { status, type, message } = errorSpec(code);
  return `| ${status} | \`${code}\` | ${type} | ${anthropicType(status)} | ${message.replaceAll('|', '\\|')} |\n`;
}
