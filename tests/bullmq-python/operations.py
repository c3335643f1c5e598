"""Random operations on queues by the Python port, and what it says of the queues afterwards; ../bullmq/operations.mjs tells more."""
import asyncio
import json
import re
import time
from random import Random

import bullmq

HOUR = 3_600_000
# Long enough that no job taken by hand is ever taken back.
LOCK = 600_000
TOKEN = "held"


class Refused(Exception):
    """There is nothing to which the operation could be done."""


def any_delay(at):
    return at.random.choice([1, at.random.randint(1, 60), at.random.randint(1, 60), HOUR + at.random.randrange(HOUR)])


def any_options(at):
    def chance(share):
        return at.random.random() < share

    options = {}
    if chance(0.25):
        options["priority"] = at.random.randint(1, 5)
    if chance(0.25):
        options["delay"] = any_delay(at)
    if chance(0.2):
        options["lifo"] = True
    if chance(0.4):
        options.update(attempts=at.random.randint(1, 3), backoff=at.random.choice([0, 5, HOUR]))
    if chance(0.2):
        options.update(removeOnComplete=at.random.choice([True, 3]), removeOnFail=at.random.choice([True, 3]))
    return options


async def add_as(at, options):
    at.note(json.dumps(options))
    await at.queue.add("job", {}, options)


async def any_job(at, states):
    jobs = [job for job in await at.queue.getJobs(states) if job is not None]
    place = at.random.random()
    if not jobs:
        raise Refused(f"no job is {' or '.join(states)}")
    job = jobs[int(place * len(jobs))]
    at.note(job.id)
    return job


def any_taken(at):
    place = at.random.random()
    if not at.taken:
        raise Refused("no job is taken")
    job = at.taken.pop(int(place * len(at.taken)))
    at.note(job.id)
    return job


def any_flow(at, depth=0):
    children = at.random.randint(1, 3) if depth == 0 or (depth == 1 and at.random.random() < 0.3) else 0
    return {
        "name": "job",
        "queueName": at.name if depth == 0 else at.random.choice(at.names),
        "data": {},
        "opts": any_options(at),
        "children": [any_flow(at, depth + 1) for _ in range(children)],
    }


async def add_several(at):
    jobs = [{"name": "job", "data": {}, "opts": any_options(at)} for _ in range(at.random.randint(1, 12))]
    await at.queue.addBulk(jobs)


async def add_once_of_its_kind(at):
    await add_as(at, {**any_options(at), "deduplication": {"id": f"kind-{at.random.randrange(3)}", "ttl": at.random.randint(1, 50)}})


async def schedule(at):
    await at.queue.upsertJobScheduler(
        f"schedule-{at.random.randrange(4)}",
        at.random.choice([{"every": 5 + at.random.randrange(50)}, {"every": HOUR}, {"pattern": "0 3 * * *"}]),
    )


async def take(at):
    job = await at.manual.moveToActive(TOKEN)
    if job is None:
        raise Refused("there is none")
    at.note(job.id)
    at.taken.append(job)


async def work(at):
    jobs, concurrency, failing = at.random.randint(1, 15), at.random.randint(1, 4), at.random.randrange(4)
    done, enough = 0, asyncio.Event()

    async def process(job, token):
        nonlocal done
        done += 1
        if done >= jobs:
            enough.set()
        if done % 4 == failing:
            raise Exception("no")
        return "ok"

    options = {"connection": at.connection, "concurrency": concurrency, "lockDuration": LOCK, "autorun": False}
    running = bullmq.Worker(at.name, process, options)
    taking = asyncio.ensure_future(running.run())
    try:
        await asyncio.wait_for(enough.wait(), 0.1)
    except asyncio.TimeoutError:
        pass  # There were fewer.
    await running.close()
    # The port may say that a worker is closed while its last jobs still end, on connections that it opens anew for them.
    await taking
    await asyncio.gather(*running.processing, return_exceptions=True)
    at.note(f"{done} jobs")


async def clean(at):
    state = at.random.choice(["completed", "failed", "wait", "delayed", "prioritized"])
    await at.queue.clean(0, at.random.randrange(4), state)


async def obliterate(at):
    await at.queue.obliterate(at.random.random() < 0.7)
    at.taken.clear()


def states(at):
    return [at.random.choice(["waiting", "delayed", "completed", "failed", "active", "prioritized", "waiting-children"])]


async def remove(at):
    await (await any_job(at, states(at))).remove()


async def retry(at):
    await (await any_job(at, ["failed"])).retry()


async def promote(at):
    await (await any_job(at, ["delayed"])).promote()


async def change_priority(at):
    await (await any_job(at, ["waiting", "prioritized", "delayed"])).changePriority({"priority": at.random.randrange(4)})


# What can be done: its name, how often it comes beside the others, and how it is done.
OPERATIONS = [
    ("add", 8, lambda at: at.queue.add("job", {})),
    ("add in some way", 10, lambda at: add_as(at, any_options(at))),
    ("add last in, first out", 3, lambda at: add_as(at, {"lifo": True})),
    ("add with priority", 4, lambda at: add_as(at, {"priority": at.random.randint(1, 5)})),
    ("add delayed", 5, lambda at: add_as(at, {"delay": any_delay(at)})),
    ("add several", 4, add_several),
    ("add by an id of the own", 3, lambda at: add_as(at, {**any_options(at), "jobId": f"id-{at.random.randrange(20)}"})),
    ("add once of its kind", 3, add_once_of_its_kind),
    ("add a flow", 4, lambda at: at.flows.add(any_flow(at))),
    ("schedule", 3, schedule),
    ("schedule no more", 2, lambda at: at.queue.removeJobScheduler(f"schedule-{at.random.randrange(4)}")),
    ("take", 14, take),
    ("complete what is taken", 5, lambda at: any_taken(at).moveToCompleted("ok", TOKEN)),
    ("fail what is taken", 5, lambda at: any_taken(at).moveToFailed(Exception("no"), TOKEN)),
    ("delay what is taken", 2, lambda at: any_taken(at).moveToDelayed(round(time.time() * 1000) + any_delay(at), TOKEN)),
    ("work", 4, work),
    ("pause", 3, lambda at: at.queue.pause()),
    ("resume", 5, lambda at: at.queue.resume()),
    ("limit the concurrency", 2, lambda at: at.queue.setGlobalConcurrency(at.random.randint(1, 6))),
    ("limit the concurrency no more", 2, lambda at: at.queue.removeGlobalConcurrency()),
    ("limit the rate for a while", 1, lambda at: at.queue.rateLimit(at.random.randint(1, 20))),
    ("retry", 4, retry),
    ("retry all", 1, lambda at: at.queue.retryJobs({"state": "failed", "count": at.random.randint(1, 5)})),
    ("promote", 3, promote),
    ("promote all", 1, lambda at: at.queue.promoteJobs({"count": at.random.randint(1, 5)})),
    ("change the priority", 3, change_priority),
    ("remove", 4, remove),
    ("drain", 1, lambda at: at.queue.drain(at.random.random() < 0.5)),
    ("clean", 3, clean),
    ("trim the events", 1, lambda at: at.queue.trimEvents(at.random.randrange(50))),
    ("obliterate", 1, obliterate),
    ("let time pass", 3, lambda at: asyncio.sleep(at.random.randrange(20) / 1000)),
]


class Place:
    """Where and with what one operation is done."""

    def __init__(self, sequence, seed):
        self.random = Random(seed)
        self.names = sequence.names
        self.name = self.random.choice(sequence.names)
        self.queue = sequence.queues[self.name]
        self.manual = sequence.manual[self.name]
        self.taken = sequence.taken[self.name]
        self.flows = sequence.flows
        self.connection = sequence.connection
        self.notes = []

    def note(self, text):
        self.notes.append(str(text))


class Sequence:
    """A sequence of operations on these queues."""

    def __init__(self, connection, queue, seed, names):
        self.connection = connection
        self.names = names
        self.queues = {name: queue(name) for name in names}
        options = {"connection": connection, "autorun": False, "lockDuration": LOCK}
        self.manual = {name: bullmq.Worker(name, None, options) for name in names}
        self.taken = {name: [] for name in names}
        self.flows = bullmq.FlowProducer({"connection": connection})
        self.tallied = {name: {"done": 0, "refused": {}} for name, _, _ in OPERATIONS}
        self.seeds = Random(seed)
        self.index = 0

    async def one(self):
        at = Place(self, self.seeds.getrandbits(64))
        [(operation, _, do)] = at.random.choices(OPERATIONS, [weight for _, weight, _ in OPERATIONS])
        outcome = ""
        try:
            await do(at)
            self.tallied[operation]["done"] += 1
        except Exception as error:
            refused = self.tallied[operation]["refused"]
            reason = re.sub(r"\S*\d\S*", "…", f"{error!r}")[:80]
            refused[reason] = refused.get(reason, 0) + 1
            outcome = f" -- refused: {error!r}"
        line = f"{self.index} {at.name}: {' '.join([operation, *at.notes])}{outcome}"
        self.index += 1
        return line

    async def run(self, count):
        """Runs the next operations; returns a line for each, and when the delayed jobs are due that they leave."""
        lines = [await self.one() for _ in range(count)]
        dues = [due for queue in self.queues.values() for due in await due_times(queue)]
        return {"lines": lines, "dues": dues}

    def tally(self):
        """How often each operation was done and refused."""
        return self.tallied

    async def truth(self, now):
        """What the library says of each queue at a moment."""
        return {name: await truth(queue, now) for name, queue in self.queues.items()}


async def due_times(queue):
    delayed = await queue.client.zrange(queue.toKey("delayed"), 0, -1, withscores=True)
    return [int(score) // 4096 for _, score in delayed]


async def truth(queue, now):
    meta, identity = queue.toKey("meta"), queue.toKey("id")
    counts = await queue.getJobCounts()
    due = sum(moment <= now for moment in await due_times(queue))
    paused = bool(await queue.isPaused())
    ready = 0 if paused else counts["waiting"] + counts["prioritized"] + due
    wanted = ready + counts["active"]
    limit = await queue.client.hget(meta, "concurrency")
    witnesses = await queue.client.hmget(meta, ["opts.maxLenEvents", "version", "library"])
    added = await queue.client.get(identity)
    return {
        "counts": counts,
        "due": due,
        "ready": ready,
        "demand": wanted if limit is None else max(min(wanted, int(limit)), counts["active"]),
        "paused": int(paused),
        "added": int(added or 0),
        "exists": added is not None or any(field is not None for field in witnesses),
        "gone": await queue.client.exists(meta, identity) == 0,
    }
