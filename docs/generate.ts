import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commandLineReference } from '../cli/reference.ts';
import { customResourceDefinitions, definitionText } from '../crds/custom-resource-definition.ts';
import { resourceReference } from '../crds/reference.ts';
import { errorReference } from '../errors/reference.ts';
import { metricsReference } from '../telemetry/metrics-reference.ts';

// Writes docs/reference/ and the chart's CRDs from the code. A test beside each source fails when what is written is not
// what it says.
const pages = {
  'command-line.md': commandLineReference(),
  'errors.md': errorReference(),
  'metrics.md': metricsReference(),
  'resources.md': resourceReference(),
};

for (const [name, text] of Object.entries(pages)) {
  writeFileSync(join(import.meta.dirname, 'reference', name), text);
}

for (const [name, definition] of customResourceDefinitions()) {
  writeFileSync(join(import.meta.dirname, '..', 'charts', 'fairlead', 'crds', name), definitionText(definition));
}
