// Random operations on queues, by every version of BullMQ and by Bull, and what the library says of the queues afterwards.
//
// A seed decides which operations come, in which queues and with which arguments, whatever the queues hold: each operation has
// a generator of its own. What the library refuses, such as the removal of a job that a worker holds, is part of the sequence
// and stands in the list with its reason.

const HOUR = 3_600_000;
// Long enough that no job taken by hand is ever taken back, unless an operation wants it.
const LOCK = 600_000;
const EVERY = [4, 5, 6, 'bull'];
const BULLMQ = [4, 5, 6];

// The generator mulberry32, with the choices that are made by it.
const generator = (seed) => {
  let state = seed >>> 0;
  const fraction = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  // From 0 to below the limit.
  const below = (limit) => Math.floor(fraction() * limit);
  return { below, chance: (share) => fraction() < share, pick: (list) => list[below(list.length)] };
};

// Due at once, at the edge of the batch, or long after it.
const anyDelay = ({ pick, below }) => pick([1, 1 + below(60), 1 + below(60), HOUR + below(HOUR)]);

// How one job is added, in one of the ways in which it is waited for.
const anyOptions = (at) => ({
  ...(at.chance(0.25) && { priority: 1 + at.below(5) }),
  ...(at.chance(0.25) && { delay: anyDelay(at) }),
  ...(at.chance(0.2) && { lifo: true }),
  ...(at.chance(0.4) && { attempts: 1 + at.below(3), backoff: at.pick([0, 5, HOUR]) }),
  ...(at.chance(0.2) && { removeOnComplete: at.pick([true, 3]), removeOnFail: at.pick([true, 3]) }),
});

const addAs = ({ queue, note }, options) => {
  note(JSON.stringify(options));
  return queue.add('job', {}, options);
};

// One of the jobs in these states that are as wanted, or an error that says that there is none.
const anyJob = async ({ queue, below, note }, states, isWanted = () => true) => {
  const jobs = (await queue.getJobs(states)).filter((job) => job?.id !== undefined && isWanted(job));
  const index = below(1000);
  if (jobs.length === 0) throw new Error(`no job is ${states.join(' or ')}`);
  const job = jobs[index % jobs.length];
  note(job.id);
  return job;
};

// One of the jobs taken by hand, which is then no longer held.
const anyTaken = ({ taken, below, note }) => {
  const index = below(1000);
  if (taken.length === 0) throw new Error('no job is taken');
  const [held] = taken.splice(index % taken.length, 1);
  note(held.job.id);
  return held;
};

// The job that a worker would take next, held until an operation lets it go.
const take = async ({ version, queue, manual, note }) => {
  const token = 'held';
  if (version === 'bull') queue.drained = false; // Or it would wait for a job to come.
  const job = version === 'bull' ? await queue.getNextJob() : await manual.getNextJob(token, { block: false });
  if (!job) throw new Error('there is none');
  note(job.id);
  return { job, token };
};

const complete = ({ version }, { job, token }) =>
  version === 'bull' ? job.moveToCompleted('ok', false, true) : job.moveToCompleted('ok', token, false);

const fail = ({ version }, { job, token }, error) =>
  version === 'bull' ? job.moveToFailed(error, false) : job.moveToFailed(error, token, false);

// A tree of jobs, each in a queue of its own choice.
const anyFlow = (at, depth) => ({
  name: depth === 0 ? 'parent' : 'child',
  queueName: depth === 0 ? at.name : at.pick(at.names),
  data: {},
  opts: {
    ...anyOptions(at),
    ...(depth > 0 && at.pick([{}, {}, { failParentOnFailure: true }, { removeDependencyOnFailure: true }])),
  },
  children: depth < 2 && at.chance(depth === 0 ? 1 : 0.3) ? Array.from({ length: 1 + at.below(3) }, () => anyFlow(at, depth + 1)) : [],
});

// What can be done: its name, how often it comes beside the others, the versions that know it, and how it is done.
const OPERATIONS = [
  ['add', 8, EVERY, ({ queue }) => queue.add('job', {})],
  ['add in some way', 10, EVERY, (at) => addAs(at, anyOptions(at))],
  ['add last in, first out', 3, EVERY, ({ queue }) => queue.add('job', {}, { lifo: true })],
  ['add with priority', 4, EVERY, ({ queue, below }) => queue.add('job', {}, { priority: 1 + below(5) })],
  ['add delayed', 5, EVERY, (at) => addAs(at, { delay: anyDelay(at) })],
  ['add due at a moment long past', 1, EVERY, ({ queue }) => queue.add('job', {}, { timestamp: 1_600_000_000_000, delay: 1000 })],
  ['add several', 4, EVERY, (at) => at.queue.addBulk(Array.from({ length: 1 + at.below(12) }, () => ({ name: 'job', data: {}, opts: anyOptions(at) })))],
  ['add by an id of the own', 3, EVERY, (at) => addAs(at, { ...anyOptions(at), jobId: `id-${at.below(20)}` })],
  ['add by an id with a colon', 1, [4, 'bull'], (at) => addAs(at, { jobId: `id:${at.below(20)}` })],
  ['add once of its kind', 3, [5, 6], (at) => addAs(at, { ...anyOptions(at), deduplication: { id: `kind-${at.below(3)}`, ...(at.chance(0.5) && { ttl: 1 + at.below(50) }), ...(at.chance(0.3) && { keepLastIfActive: true }), ...(at.chance(0.3) && { extend: true, replace: true }) } })],
  ['add once of its kind', 2, ['bull'], (at) => addAs(at, { ...anyOptions(at), debounce: { id: `kind-${at.below(3)}`, ttl: 1 + at.below(50) } })],
  ['forget the one of its kind', 1, [5, 6], ({ queue, below }) => queue.removeDeduplicationKey(`kind-${below(3)}`)],
  ['add a flow', 4, BULLMQ, (at) => at.flows.add(anyFlow(at, 0))],
  ['add several flows', 1, BULLMQ, (at) => at.flows.addBulk([anyFlow(at, 0), anyFlow(at, 0)])],

  ['repeat', 2, [4, 5, 'bull'], ({ version, queue, pick, below }) => queue.add('tick', {}, { repeat: pick([{ every: 5 + below(50) }, { every: HOUR }, { [version === 'bull' ? 'cron' : 'pattern']: '0 3 * * *' }]) })],
  ['repeat no more', 2, [4, 5, 'bull'], async ({ queue, below, note }) => {
    const repeated = await queue.getRepeatableJobs();
    const index = below(1000);
    if (repeated.length === 0) throw new Error('nothing is repeated');
    const { key } = repeated[index % repeated.length];
    note(key);
    await queue.removeRepeatableByKey(key);
  }],
  ['schedule', 3, [5, 6], ({ queue, pick, below }) => queue.upsertJobScheduler(`schedule-${below(4)}`, pick([{ every: 5 + below(50) }, { every: HOUR }, { pattern: '0 3 * * *' }]), { name: 'tick', opts: pick([{}, { priority: 2 }, { attempts: 2, backoff: 5 }]) })],
  ['schedule no more', 2, [5, 6], ({ queue, below }) => queue.removeJobScheduler(`schedule-${below(4)}`)],

  ['take', 14, EVERY, async (at) => at.taken.push(await take(at))],
  ['complete what is taken', 5, EVERY, (at) => complete(at, anyTaken(at))],
  ['fail what is taken', 5, EVERY, (at) => fail(at, anyTaken(at), new Error('no'))],
  ['fail what is taken for good', 1, BULLMQ, (at) => fail(at, anyTaken(at), new at.bullmq.UnrecoverableError('never'))],
  ['delay what is taken', 2, BULLMQ, async (at) => {
    const { job, token } = anyTaken(at);
    await job.moveToDelayed(Date.now() + anyDelay(at), token);
  }],
  ['put back what is taken', 1, [5, 6], async (at) => {
    const { job, token } = anyTaken(at);
    await job.moveToWait(token);
  }],
  ['let what is taken wait for a child', 2, BULLMQ, async (at) => {
    const { job, token } = anyTaken(at);
    await at.queueOf(at.pick(at.names)).add('child', {}, { parent: { id: job.id, queue: job.queueQualifiedName } });
    if (!(await job.moveToWaitingChildren(token))) at.taken.push({ job, token });
  }],
  ['take, and let the lock go', 2, EVERY, async (at) => {
    const { job } = await take(at);
    await at.shared.del(`${job.queue.toKey(job.id)}:lock`);
    // The first check marks the job, the second puts it back.
    for (let check = 0; check < 2; check++) {
      await at.shared.del(at.queue.toKey('stalled-check'));
      await (at.version === 'bull' ? at.queue.moveUnlockedJobsToWait() : at.manual.moveStalledJobsToWait());
    }
  }],
  ['work', 4, EVERY, async (at) => {
    const [jobs, concurrency, failing] = [1 + at.below(15), 1 + at.below(4), at.below(4)];
    let done = 0;
    let enough;
    const finished = new Promise((resolve) => { enough = resolve; });
    const running = await at.worker(at.name, async () => {
      if (++done >= jobs) enough();
      if (done % 4 === failing) throw new Error('no');
      return 'ok';
    }, at.version === 'bull' ? { concurrency, settings: { lockDuration: LOCK, drainDelay: 0.02 } } : { concurrency, lockDuration: LOCK });
    await Promise.race([finished, at.sleep(40)]);
    await running.close();
    at.note(`${done} jobs`);
  }],

  ['pause', 3, EVERY, ({ queue }) => queue.pause()],
  ['resume', 5, EVERY, ({ queue }) => queue.resume()],
  ['limit the concurrency', 2, [5, 6], ({ queue, below }) => queue.setGlobalConcurrency(1 + below(6))],
  ['limit the concurrency no more', 2, [5, 6], ({ queue }) => queue.removeGlobalConcurrency()],
  ['limit the rate', 1, [5, 6], ({ queue, below }) => queue.setGlobalRateLimit(1 + below(9), 1 + below(20))],
  ['limit the rate no more', 2, [5, 6], ({ queue }) => queue.removeGlobalRateLimit()],
  ['limit the rate for a while', 1, BULLMQ, ({ manual, below }) => manual.rateLimit(1 + below(20))],
  ['lift the limit', 1, [5, 6], ({ queue }) => queue.removeRateLimitKey()],

  ['retry', 4, EVERY, async (at) => (await anyJob(at, ['failed'])).retry()],
  ['do again what is completed', 1, BULLMQ, async (at) => (await anyJob(at, ['completed'])).retry('completed')],
  ['retry all', 1, EVERY, ({ queue, below }) => queue.retryJobs({ count: 1 + below(5) })],
  ['promote', 3, EVERY, async (at) => (await anyJob(at, ['delayed'])).promote()],
  ['promote all', 1, BULLMQ, ({ queue, below }) => queue.promoteJobs({ count: 1 + below(5) })],
  ['change the delay', 2, BULLMQ, async (at) => (await anyJob(at, ['delayed'])).changeDelay(anyDelay(at))],
  ['change the priority', 3, BULLMQ, async (at) => (await anyJob(at, ['waiting', 'prioritized', 'delayed'])).changePriority({ priority: at.below(4), lifo: at.chance(0.5) })],
  ['write into a job', 1, BULLMQ, async (at) => (await anyJob(at, ['waiting', 'delayed'])).updateData({ changed: true })],

  ['remove', 4, EVERY, async (at) => (await anyJob(at, [at.pick(['waiting', 'delayed', 'completed', 'failed', 'active', ...(at.version === 'bull' ? [] : ['prioritized', 'waiting-children'])])])).remove()],
  ['remove by pattern', 1, ['bull'], ({ queue, below }) => queue.removeJobs(`id-1${below(10)}`)],
  ['free a child of its parent', 1, [5, 6], async (at) => (await anyJob(at, ['waiting', 'delayed', 'prioritized'], (job) => job.parentKey)).removeChildDependency()],
  ['remove the children that wait', 1, [5, 6], async (at) => (await anyJob(at, ['waiting-children'])).removeUnprocessedChildren()],
  ['remove what has lost its place', 1, [5, 6], ({ queue }) => queue.removeOrphanedJobs()],
  ['drain', 1, BULLMQ, ({ queue, chance }) => queue.drain(chance(0.5))],
  ['empty', 1, ['bull'], ({ queue }) => queue.empty()],
  ['clean', 3, BULLMQ, ({ queue, below, pick }) => queue.clean(0, below(4), pick(['completed', 'failed', 'wait', 'delayed', 'prioritized', 'active', 'paused']))],
  ['clean', 3, ['bull'], ({ queue, below, pick }) => queue.clean(0, pick(['completed', 'failed', 'wait', 'delayed', 'active', 'paused']), below(4) || undefined)],
  ['trim the events', 1, BULLMQ, ({ queue, below }) => queue.trimEvents(below(50))],
  ['obliterate', 1, EVERY, async ({ queue, taken, chance }) => {
    await queue.obliterate({ force: chance(0.7) });
    taken.length = 0;
  }],
  ['let time pass', 3, EVERY, ({ sleep, below }) => sleep(below(20))],
];

const versionOf = (packageName) => (packageName.startsWith('bull4') ? 'bull' : Number(packageName.at(-1)));

// A sequence of operations on these queues: `run(count)` runs the next ones and returns a line for each and when the delayed jobs
// are due that it leaves, `tally()` tells how often each was done and refused, `truth(now)` what the library says of each queue.
export const sequence = ({ bullmq, packageName, connection, shared, queue, worker, sleep }, seed, names) => {
  const version = versionOf(packageName);
  const options = version === 'bull' ? { settings: { lockDuration: LOCK } } : {};
  const queueOf = (name) => queue(name, options);
  const known = OPERATIONS.filter(([, , versions]) => versions.includes(version));
  const weights = known.reduce((sum, [, weight]) => sum + weight, 0);
  const flows = version === 'bull' ? undefined : new bullmq.FlowProducer({ connection });
  const manual = new Map(names.map((name) => [name, version === 'bull' ? undefined : new bullmq.Worker(name, undefined, { connection, lockDuration: LOCK, autorun: false, limiter: { max: 1000, duration: 10 } })]));
  const taken = new Map(names.map((name) => [name, []]));
  const tallied = new Map(known.map(([name]) => [name, { done: 0, refused: {} }]));
  const seeds = generator(seed);
  let index = 0;

  const one = async () => {
    const at = generator(seeds.below(2 ** 32));
    let place = at.below(weights);
    const [operation, , , run] = known.find(([, weight]) => (place -= weight) < 0);
    const name = at.pick(names);
    const notes = [];
    let outcome = '';
    try {
      await run({ ...at, version, bullmq, shared, worker, sleep, flows, names, name, queueOf, queue: queueOf(name), manual: manual.get(name), taken: taken.get(name), note: (text) => notes.push(text) });
      tallied.get(operation).done++;
    } catch (error) {
      const { refused } = tallied.get(operation);
      const reason = error.message.replace(/\S*\d\S*/g, '…').slice(0, 80);
      refused[reason] = (refused[reason] ?? 0) + 1;
      outcome = ` -- refused: ${error.message}`;
    }
    return `${index++} ${name}: ${[operation, ...notes].join(' ')}${outcome}`;
  };

  return {
    run: async (count) => {
      const lines = [];
      for (let done = 0; done < count; done++) lines.push(await one());
      const dues = await Promise.all(names.map((name) => dueTimes(queueOf(name), shared)));
      return { lines, dues: dues.flat() };
    },
    tally: () => Object.fromEntries(tallied),
    truth: (now) => Promise.all(names.map(async (name) => [name, await truth(version, queueOf(name), shared, now)])).then(Object.fromEntries),
  };
};

// When the delayed jobs of a queue are due.
const dueTimes = async (queue, shared) => {
  const delayed = await shared.zrange(queue.toKey('delayed'), 0, -1, 'WITHSCORES');
  return delayed.filter((_, index) => index % 2 === 1).map((score) => Math.floor(Number(score) / 4096));
};

// BullMQ 4 wakes its workers by list elements that are no jobs. It counts one that stands between jobs as a job itself, so the list
// must tell. So does the exporter with one that stands where it does not look, since it never reads a whole list: that is the one
// difference that is allowed, and here it is, exactly. It looks at the left end, and at so many elements of the right one.
const SIGHT = { wait: 8, paused: 1 };

const jobsInList = async (queue, shared, list) => {
  const elements = await shared.lrange(queue.toKey(list), 0, -1);
  const isInSight = (index) => index === 0 || index >= elements.length - SIGHT[list];
  return elements.filter((id, index) => !(/^0:\d+$/.test(id) && isInSight(index))).length;
};

// What the library says of a queue at a moment, in the words of the exporter.
const truth = async (version, queue, shared, now) => {
  const key = (ending) => queue.toKey(ending);
  const counts = await queue.getJobCounts();
  if (version === 4) {
    counts.waiting = await jobsInList(queue, shared, 'wait');
    counts.paused = await jobsInList(queue, shared, 'paused');
  }
  const due = (await dueTimes(queue, shared)).filter((moment) => moment <= now).length;
  // Bull's `empty` ends a pause for Bull's own scripts, and leaves the flag behind by which `isPaused` says otherwise.
  const paused = version === 'bull' ? (await shared.exists(key('meta-paused'))) === 1 : await queue.isPaused();
  const ready = paused ? 0 : counts.waiting + (counts.prioritized ?? 0) + due;
  const limit = await shared.hget(key('meta'), 'concurrency');
  const wanted = ready + counts.active;
  const witnesses = await shared.hmget(key('meta'), 'opts.maxLenEvents', 'version', 'library');
  const added = await shared.get(key('id'));
  return {
    counts,
    due,
    ready,
    demand: limit === null ? wanted : Math.max(Math.min(wanted, Number(limit)), counts.active),
    paused: Number(paused),
    added: Number(added ?? 0),
    // A queue is known by its first job, or by the library's own fields; without both, it may have a pause and nothing else.
    exists: added !== null || witnesses.some((field) => field !== null),
    gone: (await shared.exists(key('meta'), key('id'))) === 0,
  };
};
