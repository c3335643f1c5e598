// Adds a job every EVERY_MS milliseconds, each fifth a minute ahead, to QUEUE in the Redis at REDIS_URL.
import { Queue } from 'bullmq';

const { REDIS_URL, QUEUE, EVERY_MS } = process.env;
const { hostname: host, port } = new URL(REDIS_URL);

const DELAY_MS = 60_000;

const queue = new Queue(QUEUE, { connection: { host, port: Number(port) } });
queue.on('error', (error) => console.error(error.message));

let stopped = false;
process.on('SIGTERM', () => { stopped = true; });

for (let added = 1; !stopped; added += 1) {
  await queue.add('send', {}, added % 5 === 0 ? { delay: DELAY_MS } : {});
  await new Promise((resolve) => setTimeout(resolve, Number(EVERY_MS)));
}
await queue.close();
