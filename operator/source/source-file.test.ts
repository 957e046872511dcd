import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { isWhole, readSourceFile } from './source-file.ts';

const model = (name: string, spec = 'backends: [{name: a, endpoints: ["10.0.0.1:80"]}]') =>
  `apiVersion: fairlead.dev/v1alpha1\nkind: ModelDeployment\nmetadata: {name: ${name}}\nspec:\n  ${spec}\n`;

function problems(text: string): string[] {
  return readSourceFile('f.yaml', text).problems.map(({ severity, line, column, resource, path, message }) =>
    [`${line}:${column} ${severity}`, resource, path, message].filter(part => part !== '').join(' | '),
  );
}

describe('documents', () => {
  test('many in one file, with comments and empty ones between', () => {
    const { items, problems } = readSourceFile(
      'f.yaml',
      `# models\n---\n${model('a')}---\n---\n# none\n---\n${model('b')}...\n`,
    );
    assert.deepEqual(problems, []);
    assert.deepEqual(
      items.map(({ name, origin: { line, column } }) => `${name} ${line}:${column}`),
      ['a 3:1', 'b 12:1'],
    );
  });

  test('in JSON as well, and in lists as kubectl prints them', () => {
    const list = {
      apiVersion: 'v1',
      kind: 'List',
      items: [{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' } }],
    };
    assert.deepEqual(
      readSourceFile('f.json', JSON.stringify(list)).items.map(({ kind, name }) => `${kind} ${name}`),
      ['Pod p'],
    );
  });

  test('with anchors, merged mappings and a byte order mark', () => {
    const text = `\uFEFFapiVersion: fairlead.dev/v1alpha1
kind: ModelDeployment
metadata: {name: a}
spec:
  backends:
    - &one {name: a, endpoints: ["10.0.0.1:80"], weight: 1}
    - {<<: *one, name: b}
`;
    const [item] = readSourceFile('f.yaml', text).items;
    assert.deepEqual(item?.kind === 'ModelDeployment' && item.spec.backends.map(({ name, weight }) => [name, weight]), [
      ['a', 1],
      ['b', 1],
    ]);
  });

  test('what others read is ignored, with a note', () => {
    assert.deepEqual(problems('apiVersion: apps/v1\nkind: Deployment\n---\nreplicas: 3\n'), [
      '1:1 ignored | apps/v1 Deployment is not read by Fairlead',
      '4:1 ignored | not a resource: it has no apiVersion and kind',
    ]);
    assert.ok(isWhole(readSourceFile('f.yaml', 'replicas: 3')));
  });

  test('that mean to be resources must say which', () => {
    const expected = 'is missing: expected a resource with apiVersion, kind, metadata and spec';
    assert.deepEqual(problems('metadata: {name: a}\nspec: {}\n'), [`1:1 error | apiVersion ${expected}`]);
    assert.deepEqual(problems('apiVersion: v1\n'), [`1:1 error | kind ${expected}`]);
    assert.deepEqual(problems('- 1\n'), [
      '1:1 error | expected a resource: a mapping with apiVersion, kind, metadata and spec',
    ]);
  });

  test('one that is wrong does not keep its neighbours from being read', () => {
    const { items } = readSourceFile('f.yaml', `${model('a')}---\n${model('b', 'aliases: 3')}---\n${model('c')}`);
    assert.deepEqual(
      items.map(({ name }) => name),
      ['a', 'c'],
    );
  });
});

describe('places', () => {
  const cases: [name: string, text: string, ...expected: string[]][] = [
    [
      'an unknown field is pointed at by its name, a wrong value by itself',
      `apiVersion: fairlead.dev/v1alpha1
kind: ModelDeployment
metadata:
  name: llama
  namespace: ml
spec:
  aliasses: [llama]
  routing: {strategy: leastrequest}
  backends:
    - name: a
      endpoints: ["10.0.0.1:80",
                  "10.0.0.2"]
`,
      '7:3 error | ModelDeployment ml/llama | spec.aliasses | unknown field `aliasses`; did you mean `aliases`?',
      '8:23 error | ModelDeployment ml/llama | spec.routing.strategy | expected one of `random`, `shuffle`, `round-robin`, `least-request` or `throughput`, got `leastrequest`; did you mean `least-request`?',
      '12:19 error | ModelDeployment ml/llama | spec.backends[0].endpoints[1] | expected host:port, such as `10.0.0.7:8000`, `gpu-box:8000` or `[fd00::7]:8000`, got `10.0.0.2`',
    ],
    [
      'what is missing is pointed at by what it is missing from',
      'apiVersion: fairlead.dev/v1alpha1\nkind: ModelDeployment\nmetadata: {name: a}\nspec:\n  type: text-generation\n',
      '4:1 error | ModelDeployment default/a | spec.backends | is missing: expected a list',
    ],
    [
      'a field with nothing behind it by its name',
      model('a', 'backends:\n  aliases: [x]'),
      '5:3 error | ModelDeployment default/a | spec.backends | expected a list, got nothing',
    ],
    [
      'an element by itself',
      model('a', 'backends:\n    - {name: a}'),
      '6:7 error | ModelDeployment default/a | spec.backends[0] | needs either `pods` or `endpoints`',
    ],
    [
      'through an alias, what it stands for',
      `apiVersion: fairlead.dev/v1alpha1
kind: ModelDeployment
metadata: {name: a, annotations: &wrong {name: a, endpoints: "x"}}
spec:
  backends: [*wrong]
`,
      '3:62 error | ModelDeployment default/a | spec.backends[0].endpoints | expected a list, got `x`',
    ],
    [
      'in an item of a list',
      'apiVersion: v1\nkind: List\nitems:\n- apiVersion: fairlead.dev/v1alpha1\n  kind: Cosumer\n',
      '5:9 error | kind | expected one of `ModelDeployment`, `InferenceGateway` or `Consumer`, got `Cosumer`; did you mean `Consumer`?',
    ],
    [
      'in JSON',
      '{"apiVersion": "fairlead.dev/v1alpha1",\n "kind": "Gateway"}',
      '2:10 error | kind | expected one of `ModelDeployment`, `InferenceGateway` or `Consumer`, got `Gateway`',
    ],
    ['of a field given twice', 'a: 1\nb: 2\na: 3\n', '3:1 error | `a` is given twice'],
    [
      'of a resource declared twice',
      `${model('a')}---\n${model('a')}`,
      '7:1 error | ModelDeployment default/a | ModelDeployment default/a is declared twice: here and in line 1',
    ],
    [
      'of a pod that is wrong',
      'apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nstatus: {podIP: localhost}\n',
      '4:17 error | Pod default/p | status.podIP | expected an IP address',
    ],
  ];
  for (const [name, text, ...expected] of cases) {
    test(name, () => assert.deepEqual(problems(text), expected));
  }

  test('of a syntax error, and then nothing of the file is read', () => {
    const { items, problems } = readSourceFile('f.yaml', `${model('a')}---\nspec: [1\n`);
    assert.deepEqual(items, []);
    assert.equal(problems.length, 1);
    assert.ok((problems[0]?.line ?? 0) >= 7);
  });

  test('of fields that are right can be asked for', () => {
    const { items, locate } = readSourceFile('f.yaml', `---\n${model('a')}---\n${model('b')}`);
    const [, second] = items;
    assert.ok(second);
    assert.deepEqual(locate(second.origin, ['spec', 'backends', 0, 'name']), { line: 12, column: 21 });
    assert.deepEqual(locate(second.origin, ['spec', 'backends', 0, 'weight']), { line: 12, column: 14 });
  });
});

describe('pods', () => {
  const read = (text: string) => {
    const { items, problems } = readSourceFile('f.yaml', `apiVersion: v1\nkind: Pod\n${text}`);
    assert.deepEqual(problems, []);
    return items.map(item => item.kind === 'Pod' && item.pod);
  };

  test('are read as Kubernetes shows them', () => {
    const text = `metadata: {name: p, namespace: ml, uid: u1, labels: {app: x}, deletionTimestamp: "2026-01-31T12:00:00Z"}
spec:
  nodeName: n
  containers: [{name: a, ports: [{name: http, containerPort: 8000}]}, {name: b, ports: [{containerPort: 9}]}, {name: c}]
status:
  podIP: 10.0.0.1
  conditions: [{type: Initialized, status: "True"}, {type: Ready, status: "False", reason: x}]
`;
    const facts = { ip: '10.0.0.1', ready: false, terminating: true, ports: [8000, 9] };
    assert.deepEqual(read(text), [{ namespace: 'ml', name: 'p', uid: 'u1', labels: { app: 'x' }, ...facts }]);
  });

  test('by hand need no more than a name', () => {
    const facts = { ip: undefined, ready: true, terminating: false, ports: [] };
    assert.deepEqual(read('metadata: {name: p}\n'), [
      { namespace: 'default', name: 'p', uid: 'default/p', labels: {}, ...facts },
    ]);
  });

  test('that have ended are not there', () => {
    for (const phase of ['Succeeded', 'Failed'])
      assert.deepEqual(read(`metadata: {name: p}\nstatus: {phase: ${phase}}\n`), []);
    assert.equal(read('metadata: {name: p}\nstatus: {phase: Running}\n').length, 1);
  });
});

describe('whatever a file holds', () => {
  test('it is read without throwing, and every problem has a place in it', () => {
    const fragment = fc.constantFrom(
      'a: ',
      '- ',
      '{',
      ']',
      '\n',
      '  ',
      '&x ',
      '*x',
      '"',
      'kind: List\n',
      'apiVersion: v1\n',
      '---\n',
      model('a'),
      '\t',
      '!!set ',
      '<<: ',
      '? ',
    );
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(fragment).map(parts => parts.join('')),
    );
    fc.assert(
      fc.property(text, text => {
        const lines = text.split(/\r\n|\n|\r/).length;
        for (const { line, column } of readSourceFile('f.yaml', text).problems) {
          assert.ok(line >= 1 && line <= lines + 1 && column >= 1);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('what is nested without end is told to be, however it is written', () => {
    const depth = 100_000;
    for (const nested of [`${'['.repeat(depth)}${']'.repeat(depth)}`, '- '.repeat(depth), '{a: '.repeat(depth)]) {
      const [problem, ...others] = readSourceFile('f.yaml', `a: 1\nb:\n  ${nested}`).problems;
      assert.deepEqual([problem?.line, problem?.message, others], [3, 'nested too deeply', []]);
    }
  });

  test('aliases that multiply do not', () => {
    const layers = Array.from(
      { length: 12 },
      (_, n) => `l${n + 1}: &l${n + 1} [${Array(9).fill(`*l${n}`).join(', ')}]`,
    );
    const [problem] = problems(`l0: &l0 [x]\n${layers.join('\n')}\n`);
    assert.match(problem ?? '', /^1:1 error \| Excessive alias count/);
  });
});
