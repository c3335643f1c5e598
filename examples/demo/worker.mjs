// A BullMQ worker as it would run in a pod: node worker.mjs REDIS_URL QUEUE CONCURRENCY
import { Worker } from 'bullmq';

const [, , url, queue, concurrency] = process.argv;
const { hostname: host, port } = new URL(url);

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const worker = new Worker(queue, (job) => sleep(job.data.work), {
  connection: { host, port: Number(port), maxRetriesPerRequest: null },
  concurrency: Number(concurrency),
});

// Without a listener, the first lost connection would end the process.
worker.on('error', (error) => console.error(error.message));

// What a pod is told before it is taken away. close() takes no new job and waits for those that run.
process.on('SIGTERM', async () => {
  console.log('draining');
  await worker.close();
  console.log('closed');
  process.exit(0);
});

await worker.waitUntilReady();
console.log('ready');
