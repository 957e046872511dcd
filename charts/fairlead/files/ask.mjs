// Asks the gateway through its Service whether it is ready and what it serves.
const deadline = Date.now() + 60_000;

async function ask(path) {
  for (;;) {
    let said;
    try {
      const response = await fetch(process.env.GATEWAY + path, { signal: AbortSignal.timeout(5_000) });
      said = `${response.status} ${await response.text()}`;
      if (response.ok) return said;
    } catch (error) {
      said = String(error.cause ?? error);
    }
    if (Date.now() > deadline) throw new Error(`GET ${path}: ${said}`);
    await new Promise(resolve => setTimeout(resolve, 1_000));
  }
}

for (const path of ['/readyz', '/v1/models']) console.log(`GET ${path}: ${await ask(path)}`);
