// What the drivers of tests/bullmq and tests/browser do with their standard input: each line is a JSON object {code} with the body of an
// asynchronous function, which is run with the scope and answered by {value} or {error}, one line each, on standard output.
import { createInterface } from 'node:readline';

const AsyncFunction = (async () => {}).constructor;
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// Returns when standard input ends. Beside the scope the code has `sleep`, and `kept` for what one piece of code leaves for the next.
export const runLines = async (scope) => {
  const all = { ...scope, sleep, kept: {} };
  const [names, values] = [Object.keys(all), Object.values(all)];
  for await (const line of createInterface({ input: process.stdin })) {
    let answer;
    try {
      const { code } = JSON.parse(line);
      answer = { value: await new AsyncFunction(...names, code)(...values) };
    } catch (error) {
      answer = { error: String(error?.stack ?? error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
};
