import type { DescEnum, DescField, DescFile, DescMessage, DescService, FileRegistry } from '@bufbuild/protobuf';
import { nestedTypes } from '@bufbuild/protobuf/reflect';

/**
 * Where a trimmed proto file says something else than the original, a line each. Leaving out is not disagreeing;
 * everything that is there must be there in the original, with the same number and the same meaning on the wire.
 */
export function disagreements(ours: DescFile, original: FileRegistry): string[] {
  const found: string[] = [];
  for (const type of [...nestedTypes(ours), ...ours.services]) {
    if (type.kind === 'extension') continue;
    const theirs = original.get(type.typeName);
    if (theirs?.kind !== type.kind) found.push(`${type.typeName}: the original has no such ${type.kind}`);
    else if (type.kind === 'message') found.push(...ofMessage(type, theirs as DescMessage));
    else if (type.kind === 'enum') found.push(...ofEnum(type, theirs as DescEnum));
    else found.push(...ofService(type, theirs as DescService));
  }
  return found;
}

function ofMessage(ours: DescMessage, theirs: DescMessage): string[] {
  return ours.fields.flatMap(field => {
    const same = theirs.fields.find(({ name }) => name === field.name);
    if (!same) return [`${ours.typeName}.${field.name}: the original has no such field`];
    const [here, there] = [fieldForm(field), fieldForm(same)];
    return here === there ? [] : [`${ours.typeName}.${field.name}: ${here}, but originally ${there}`];
  });
}

/** All that decides how a field is written, in words. */
function fieldForm(field: DescField): string {
  const { proto, number } = field;
  const type = [proto.label, proto.type, valueForm(field)].join(' ');
  return `number ${number}, type ${type}, oneof ${field.oneof?.name}, optional ${proto.proto3Optional}`;
}

/** The named types, looking into maps, whose entries are messages of their own. */
function valueForm(field: DescField): string {
  const named = field.message ?? field.enum;
  if (field.fieldKind === 'map') return `map of ${field.mapKey} to ${named?.typeName ?? field.scalar}`;
  return named?.typeName ?? '';
}

function ofEnum(ours: DescEnum, theirs: DescEnum): string[] {
  return ours.values.flatMap(({ name, number }) => {
    const same = theirs.values.find(value => value.name === name);
    return same?.number === number ? [] : [`${ours.typeName}.${name}: ${number}, but originally ${same?.number}`];
  });
}

function ofService(ours: DescService, theirs: DescService): string[] {
  return ours.methods.flatMap(method => {
    const same = theirs.methods.find(({ name }) => name === method.name);
    const [here, there] = [method, same].map(
      each => each && `${each.methodKind} ${each.input.typeName} → ${each.output.typeName}`,
    );
    return here === there ? [] : [`${ours.typeName}.${method.name}: ${here}, but originally ${there}`];
  });
}
