// A BullMQ worker whose jobs take a while: REDIS_URL, QUEUE, CONCURRENCY and WORK_MS say where and how.
import { Worker } from 'bullmq';

const { REDIS_URL, QUEUE, CONCURRENCY, WORK_MS } = process.env;
const { hostname: host, port } = new URL(REDIS_URL);

const worker = new Worker(QUEUE, () => new Promise((resolve) => setTimeout(resolve, Number(WORK_MS))), {
  connection: { host, port: Number(port), maxRetriesPerRequest: null },
  concurrency: Number(CONCURRENCY),
  // Without these, what is completed and failed is not counted in Redis.
  metrics: { maxDataPoints: 60 },
  removeOnComplete: { count: 1000 },
  removeOnFail: { count: 1000 },
});

// Without a listener, the first lost connection would end the process.
worker.on('error', (error) => console.error(error.message));

// What `docker compose stop` and Kubernetes send first. close() takes no new job and waits for those that run.
process.on('SIGTERM', async () => {
  await worker.close();
  console.log('closed');
  process.exit(0);
});

await worker.waitUntilReady();
console.log('ready');
