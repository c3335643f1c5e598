// Runs JavaScript from standard input, one JSON object {code} a line, with the BullMQ package named as the first argument
// connected to the Redis port named as the second, or to the cluster whose nodes have those ports between commas; answers {value} or {error}, one line each, on standard output.
// Bull, from which BullMQ descends, makes both ends of a queue in one class; `queue` and `worker` hide that.
import { Cluster, Redis } from 'ioredis';
import { runLines } from '../run-lines.mjs';

const [, , packageName, ports] = process.argv;
const bullmq = await import(packageName);
const isBull = packageName.startsWith('bull4');
const nodes = ports.split(',').map((port) => ({ host: '127.0.0.1', port: Number(port) }));
const options = { maxRetriesPerRequest: null };
// One for all queues, so that a test may have thousands of them; each worker makes its own.
const shared = nodes.length > 1 ? new Cluster(nodes, { redisOptions: options }) : new Redis({ ...nodes[0], ...options });
const connection = nodes.length > 1 ? shared : { ...nodes[0], ...options };
shared.setMaxListeners(0);
const queues = new Map();

const newQueue = (name, options) => {
  if (!isBull) return new bullmq.Queue(name, { connection: shared, ...options });
  return new bullmq.default(name, {
    createClient: (type) => (type === 'client' ? shared : new Redis({ ...connection, enableReadyCheck: false })),
    ...options,
  });
};

const queue = (name, options = {}) => {
  const key = JSON.stringify([name, options]);
  if (!queues.has(key)) queues.set(key, newQueue(name, options));
  return queues.get(key);
};

// Resolves when the worker is connected, so that what follows in the same code meets a living worker.
const worker = async (name, processor, options = {}) => {
  if (isBull) {
    const { concurrency = 1, ...others } = options;
    const made = new bullmq.default(name, { redis: { ...connection }, ...others });
    made.on('error', (error) => console.error(error));
    // For jobs of every name; resolves only when the worker ends.
    made.process('*', concurrency, processor).catch((error) => console.error(error));
    await made.isReady();
    return made;
  }
  const made = new bullmq.Worker(name, processor, { connection, ...options });
  made.on('error', (error) => console.error(error));
  await made.waitUntilReady();
  return made;
};

// A worker of Bull that is closed early leaves commands behind that nobody waits for; their end would be this process' end.
if (isBull) process.on('unhandledRejection', (error) => console.error(error));

// A module of this folder.
const load = (file) => import(`./${file}`);

await runLines({ bullmq, packageName, connection, shared, queue, worker, load });
process.exit(0);
