// Runs JavaScript from standard input, one JSON object {code} a line, with the BullMQ package named as the first argument
// connected to the Redis port named as the second; answers {value} or {error}, one line each, on standard output.
import { createInterface } from 'node:readline';
import { Redis } from 'ioredis';

const [, , packageName, port] = process.argv;
const bullmq = await import(packageName);
const connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null };
// One for all queues, so that a test may have thousands of them; each worker makes its own.
const shared = new Redis(connection);
const queues = new Map();

const queue = (name, options = {}) => {
  const key = JSON.stringify([name, options]);
  if (!queues.has(key)) queues.set(key, new bullmq.Queue(name, { connection: shared, ...options }));
  return queues.get(key);
};

// Resolves when the worker is connected, so that what follows in the same code meets a living worker.
const worker = async (name, processor, options = {}) => {
  const made = new bullmq.Worker(name, processor, { connection, ...options });
  made.on('error', (error) => console.error(error));
  await made.waitUntilReady();
  return made;
};

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
// What one piece of code leaves for the next.
const kept = {};

const AsyncFunction = (async () => {}).constructor;
const names = ['bullmq', 'connection', 'queue', 'worker', 'sleep', 'kept'];
const values = [bullmq, connection, queue, worker, sleep, kept];

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
process.exit(0);
