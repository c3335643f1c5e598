// BullMQ's own metrics of many queues over HTTP, as `exportPrometheusMetrics` writes them, all queues asked at once.
import { createServer } from 'node:http';

export const serve = async (queues) => {
  const server = createServer(async (request, response) => {
    try {
      const texts = await Promise.all(queues.map((queue) => queue.exportPrometheusMetrics()));
      response.end(texts.join('\n'));
    } catch (error) {
      response.statusCode = 500;
      response.end(String(error));
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: server.address().port, process: process.pid };
};

// Queue objects with a connection each, or the first error if they are not all connected in time.
export const connectEach = async (bullmq, names, connection, limit) => {
  // The first tells more than those that follow from it.
  let problem;
  const queues = names.map((name) => {
    const queue = new bullmq.Queue(name, { connection: { ...connection } });
    queue.on('error', (error) => { problem ??= error.message || String(error); });
    return queue;
  });
  const ready = Promise.all(queues.map((queue) => queue.waitUntilReady())).then(() => true, (error) => { problem ??= error.message || String(error); return false; });
  const late = new Promise((resolve) => { setTimeout(() => resolve(false), limit); });
  if (!(await Promise.race([ready, late]))) throw new Error(problem ?? `not connected after ${limit} ms`);
  return queues;
};
