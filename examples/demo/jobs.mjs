// Adds jobs, every one with a priority:
//   node jobs.mjs REDIS_URL QUEUE [--count 1] [--work 1500] [--delay 0] [--over 0]
// They take `work` milliseconds each, fall due after `delay` milliseconds, and are added evenly over `over` milliseconds.
// `--count 0` only makes the queue known.
import { parseArgs } from 'node:util';
import { Queue } from 'bullmq';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: 'string', default: '1' },
    work: { type: 'string', default: '1500' },
    delay: { type: 'string', default: '0' },
    over: { type: 'string', default: '0' },
  },
});
const [url, name] = positionals;
const count = Number(values.count);
const { hostname: host, port } = new URL(url);

const ADDINGS_A_SECOND = 5;
const PRIORITIES = 3;

const queue = new Queue(name, { connection: { host, port: Number(port) } });
await queue.waitUntilReady();

const jobs = Array.from({ length: count }, (_, index) => ({
  name: 'send',
  data: { work: Number(values.work) },
  opts: { priority: 1 + (index % PRIORITIES), delay: Number(values.delay) },
}));
const portions = Math.max(1, Math.round((Number(values.over) / 1000) * ADDINGS_A_SECOND));
const started = Date.now();
for (let portion = 0; portion < portions; portion += 1) {
  const from = Math.round((count * portion) / portions);
  const to = Math.round((count * (portion + 1)) / portions);
  await queue.addBulk(jobs.slice(from, to));
  const next = started + (Number(values.over) * (portion + 1)) / portions;
  await new Promise((resolve) => setTimeout(resolve, next - Date.now()));
}
await queue.close();
console.log(`added ${count} jobs`);
