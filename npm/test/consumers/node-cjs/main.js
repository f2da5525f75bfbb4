const { createClient, PicoBaseError } = require("@picobase/client");

async function main() {
  const { scenario } = await import("./scenario.mjs");
  console.log(await scenario(createClient, JSON.parse(process.env.PICOBASE_CONSUMER)));
  // Errors of this copy are those that it exports.
  const error = await createClient("not a URL").health.check().catch((error) => error);
  if (!(error instanceof PicoBaseError) || error.kind !== "Configuration") throw error;
  console.log(`refused a wrong URL: ${error.kind}`);
}

main();
