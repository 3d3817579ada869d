// How a script ends: one line that says what is wrong and what to do, and exit code 1.

/** An error whose message is all there is to say. */
export class Failure extends Error {}

/** Runs a script's main function. A `Failure` prints its one line; a number is the exit code. */
export async function main(body) {
  try {
    const code = await body();
    if (typeof code === "number") process.exitCode = code;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    console.error(`error: ${error.message}`);
    process.exit(1);
  }
}
