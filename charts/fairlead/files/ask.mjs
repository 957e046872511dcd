// Asks the gateway through its Service whether it is ready and what it serves; it may want to know first who asks.
const deadline = Date.now() + 60_000;

async function ask(path, ...answers) {
  for (;;) {
    let said;
    try {
      const response = await fetch(process.env.GATEWAY + path, { signal: AbortSignal.timeout(5_000) });
      said = `${response.status} ${await response.text()}`;
      if (answers.includes(response.status)) return said;
    } catch (error) {
      said = String(error.cause ?? error);
    }
    if (Date.now() > deadline) throw new Error(`GET ${path}: ${said}`);
    await new Promise(resolve => setTimeout(resolve, 1_000));
  }
}

console.log(`GET /readyz: ${await ask('/readyz', 200)}`);
console.log(`GET /v1/models: ${await ask('/v1/models', 200, 401)}`);
