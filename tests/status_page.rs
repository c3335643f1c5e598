//! Does the status page show what the last scrape told, no more and no less, to people and to programs, in a real browser too?

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use acceptance::{
    Browser, BullMq, Exporter, Prometheus, Redis, Version, ours, repository, wait_until,
};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(20);
/// Names that break out of HTML, of an attribute, of PromQL, or of a line, where they are not escaped.
const HOSTILE: [&str; 5] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(2)>",
    "a'b\"c\\d{}",
    "two\nlines",
    "&lt;b&gt; \u{202e}ä",
];

fn status(exporter: &Exporter, query: &str) -> Result<Value> {
    let (code, body) = exporter.get(&format!("/api/v1/status{query}"))?;
    ensure!(code == 200, "status {code}: {body}");
    Ok(serde_json::from_str(&body)?)
}

fn page(exporter: &Exporter, query: &str) -> Result<String> {
    let (code, body) = exporter.get(&format!("/{query}"))?;
    ensure!(code == 200, "status {code}: {body}");
    Ok(body)
}

/// The names of the queues that are listed.
fn listed(status: &Value) -> Vec<String> {
    let queues = status["queues"].as_array().cloned().unwrap_or_default();
    let name = |queue: &Value| queue["queue"].as_str().unwrap_or_default().to_owned();
    queues.iter().map(name).collect()
}

/// A Redis with queues in every condition that the page has a word for, and the BullMQ whose workers are at work.
fn scene() -> Result<(Redis, BullMq)> {
    let redis = Redis::start()?;
    let mut bullmq = BullMq::start(Version::V6, &redis)?;
    bullmq.run(
        "const many = (number, add) => Promise.all(Array.from({ length: number }, (_, index) => add(index)));
         await many(30, (i) => queue('email').add('job', {}, i % 3 ? {} : { priority: 2 }));
         kept.email = await worker('email', () => sleep(600000), { concurrency: 10 });
         kept.idle = await worker('idle', async () => {});
         kept.failing = await worker('thumbnails', async () => { throw new Error('secret reason'); });
         await many(3, () => queue('thumbnails').add('job', { card: 'secret data' }));
         await many(12, () => queue('newsletter').add('job', {}));
         await queue('newsletter').pause();
         await queue('reports').setGlobalConcurrency(2);
         await many(9, () => queue('reports').add('job', {}));
         await queue('invoices').add('job', {}, { delay: 600000 });
         await queue('app', { prefix: '{app}' }).add('job', {});
         await queue('tmp-1').add('job', {});
         await queue('broken').add('job', {});
         await shared.del('bull:broken:wait'); await shared.set('bull:broken:wait', 'text');
         await queue('upgraded').add('job', {});
         await shared.rename('bull:upgraded:wait', 'bull:upgraded:paused');
         while (await queue('thumbnails').getFailedCount() < 3 || await queue('email').getActiveCount() < 10) await sleep(20);",
    )?;
    for name in HOSTILE {
        bullmq.run(&format!(
            "await queue({}).add('job', {{}});",
            serde_json::to_string(name)?
        ))?;
    }
    Ok((redis, bullmq))
}

/// An exporter of the scene that looks for queues once, so that it asks Redis nothing by itself.
fn exporter_of(redis: &Redis) -> Result<Exporter> {
    let exporter = Exporter::start_with(&[
        "--redis.url",
        &redis.url(),
        "--discovery.interval",
        "1h",
        "--bullmq.prefix",
        "bull",
        "--bullmq.prefix",
        "{app}",
        "--bullmq.exclude",
        "tmp-*",
    ])?;
    wait_until("queues are looked for", LIMIT, || {
        let found = status(&exporter, "")?;
        let last = found.pointer("/servers/0/discovery/last_success").cloned();
        Ok(last)
    })?;
    Ok(exporter)
}

#[test]
fn the_json_says_what_the_last_scrape_said_and_asks_redis_nothing() -> Result<()> {
    let (redis, _bullmq) = scene()?;
    let exporter = exporter_of(&redis)?;
    let before = status(&exporter, "")?;
    assert_eq!(before["servers"][0]["state"], "not_scraped");
    assert_eq!(before["queues"], json!([]));
    let text = page(&exporter, "")?;
    assert!(text.contains("not scraped yet"), "{text}");
    assert!(!text.contains("email"), "{text}");

    let scrape = exporter.scrape()?;
    let calls = || -> Result<u64> {
        let all = redis.command_calls()?;
        let others = all.iter().filter(|(name, _)| name != "info");
        Ok(others.map(|(_, calls)| calls).sum())
    };
    let asked = calls()?;
    let told = status(&exporter, "")?;
    for _ in 0..20 {
        page(&exporter, "?sort=ready&search=e")?;
        status(&exporter, "?limit=10000")?;
    }
    // The workers of the scene ask for themselves, now and then.
    ensure!(calls()? < asked + 20, "{asked} calls, then {}", calls()?);

    let mut compared = 0;
    for queue in told["queues"].as_array().context("queues")? {
        let name = queue["queue"].as_str().context("a name")?;
        let written = |text: &str| {
            text.replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n")
        };
        let name = written(name);
        let same = |metric: &str, more: &[(&str, &str)], value: &Value| {
            let labels = [&[("queue", name.as_str())], more].concat();
            let truth = value.as_bool().map(|truth| f64::from(u8::from(truth)));
            let expected = truth.or(value.as_f64());
            let served = scrape.value(metric, &labels);
            let close = match (served, expected) {
                (Some(served), Some(expected)) => (served - expected).abs() < 0.002,
                (served, expected) => served == expected,
            };
            assert!(close, "{name}: {metric} {more:?}: {served:?}, {expected:?}");
        };
        same("bullmq_queue_up", &[], &queue["up"]);
        for state in bullmq_vocabulary::JobState::ALL {
            let state = state.as_str();
            same(
                "bullmq_job_count",
                &[("state", state)],
                &queue["job_count"][state],
            );
        }
        for within in ["30s", "1m", "2m", "5m"] {
            let jobs = &queue["demand_ahead_jobs"][within];
            same(
                "bullmq_queue_demand_ahead_jobs",
                &[("within", within)],
                jobs,
            );
        }
        for field in [
            "ready_jobs",
            "delayed_due_jobs",
            "demand_jobs",
            "oldest_ready_age_seconds",
            "longest_active_seconds",
            "orphaned",
            "paused",
            "concurrency_limit",
            "rate_limited",
            "rate_limit_reset_seconds",
            "workers",
            "workers_idle",
            "schedulers",
            "schedulers_overdue",
        ] {
            same(&format!("bullmq_queue_{field}"), &[], &queue[field]);
        }
        compared += 1;
    }
    let served = scrape.samples("bullmq_queue_up").count();
    assert_eq!(compared, served);
    assert_eq!(told["totals"]["queues"], json!(served));

    let text = page(&exporter, "")?;
    for secret in ["secret", "card"] {
        assert!(!text.contains(secret) && !told.to_string().contains(secret));
    }
    Ok(())
}

#[test]
fn the_worst_stands_first_with_its_reason_and_what_is_left_out_is_told() -> Result<()> {
    let (redis, _bullmq) = scene()?;
    let exporter = exporter_of(&redis)?;
    exporter.scrape()?;
    let told = status(&exporter, "")?;
    let names = listed(&told);
    assert_eq!(names.first().map(String::as_str), Some("broken"));
    let queue = |name: &str| {
        let all = told["queues"].as_array()?;
        all.iter().find(|queue| queue["queue"] == name)
    };
    for (name, expected) in [
        ("broken", json!(["unread"])),
        ("reports", json!(["no_workers"])),
        ("upgraded", json!(["leftover_paused"])),
        ("email", json!([])),
        ("newsletter", json!([])),
        ("invoices", json!([])),
    ] {
        let found = queue(name).context(name)?;
        assert_eq!(found["problems"], expected, "{name}");
    }
    let broken = queue("broken").context("broken")?;
    assert_eq!(broken["cause"], "wrong_type");
    assert!(broken.get("demand_jobs").is_none(), "{broken}");
    let problems = status(&exporter, "?show=problems&sort=queue")?;
    assert!(!listed(&problems).contains(&"email".to_owned()));
    assert_eq!(listed(&status(&exporter, "?search=%7BAPP%7D:a")?), ["app"]);
    assert_eq!(
        listed(&status(&exporter, "?sort=failed&limit=1")?),
        ["thumbnails"]
    );

    let discovery = &told["servers"][0]["discovery"];
    assert_eq!(discovery["prefixes"], json!(["bull", "{app}"]));
    assert_eq!(discovery["exclude"], json!(["tmp-*"]));
    assert_eq!(discovery["last_success"]["left_out_queues"], 1);
    let text = page(&exporter, "")?;
    for sentence in [
        "1 queue exists and is left out by that",
        "One of its keys has another type than BullMQ gives it.",
        "KEDA would see 2</strong>: 9 ready and 0 active, at most the global concurrency of 2. No more within 5m.",
        "<span class=\"badge\">paused</span>",
        "<code>maxmemory-policy noeviction</code>",
    ] {
        assert!(text.contains(sentence), "{sentence}: {text}");
    }
    assert!(!text.contains("Jobs may vanish"), "{text}");
    assert!(
        !text.contains("<script>alert") && !text.contains("<img"),
        "{text}"
    );

    redis.run(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"])?;
    exporter.scrape()?;
    assert_eq!(
        status(&exporter, "")?["servers"][0]["warnings"],
        json!(["evicts"])
    );
    assert!(page(&exporter, "")?.contains("Jobs may vanish"));
    Ok(())
}

#[test]
fn a_redis_that_is_down_is_told_as_down_and_none_of_its_old_numbers_is_shown() -> Result<()> {
    let mut redis = Redis::start()?;
    BullMq::start(Version::V6, &redis)?.run("await queue('email').add('job', {});")?;
    let exporter = Exporter::start(&redis)?;
    exporter.scrape_when_found("email")?;
    assert!(page(&exporter, "")?.contains("email"));
    redis.kill()?;
    exporter.scrape()?;
    let told = status(&exporter, "")?;
    let server = &told["servers"][0];
    assert_eq!(server["state"], "down");
    assert_eq!(server["cause"], "connection");
    assert!(server["last_answer_age_seconds"].is_number(), "{server}");
    assert!(server.get("info").is_none(), "{server}");
    assert_eq!(told["queues"], json!([]));
    let text = page(&exporter, "")?;
    assert!(!text.contains("email"), "{text}");
    assert!(text.contains("It cannot be connected to, or the connection broke."));
    assert!(text.contains("KEDA gets no answer and holds"), "{text}");
    Ok(())
}

/// The query of the ScaledObject that `bullmq-keda` writes for a worker of this queue.
fn generated_query(queue: &str, prefix: &str) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let spec = folder.path().join("spec.yaml");
    let queue = json!([{ "name": queue, "prefix": prefix }]);
    fs::write(
        &spec,
        format!(
            "apiVersion: bullmq-keda/v1
prometheus: {{serverAddress: \"http://prometheus\"}}
workers:
  - name: worker
    target: {{name: worker}}
    queues: {queue}
    concurrency: 5
    replicas: {{min: 1, max: 20}}
    scale: slots
"
        ),
    )?;
    let output = Command::new(ours("bullmq-keda")?)
        .arg("generate")
        .arg(&spec)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{said}");
    let object: Value = serde_saphyr::from_str(&String::from_utf8(output.stdout)?)?;
    let query = object.pointer("/spec/triggers/0/metadata/query");
    Ok(query.and_then(Value::as_str).context("a query")?.to_owned())
}

#[test]
fn the_query_to_copy_is_the_generators_and_prometheus_answers_it_with_the_demand() -> Result<()> {
    let (redis, _bullmq) = scene()?;
    let exporter = exporter_of(&redis)?;
    let prometheus = Prometheus::start(&[exporter.address()], Duration::from_secs(1))?;
    exporter.scrape()?;
    let told = status(&exporter, "")?;
    let mut asked = 0;
    for queue in told["queues"].as_array().context("queues")? {
        let (name, prefix) = (queue["queue"].as_str(), queue["prefix"].as_str());
        let (name, prefix) = (name.context("a name")?, prefix.context("a prefix")?);
        let query = queue["promql"].as_str().context("a query")?;
        assert_eq!(query, generated_query(name, prefix)?, "{name}");
        let answer = |samples: &[acceptance::Sample]| samples.first().map(|sample| sample.value);
        let expected = queue["demand_jobs"].as_f64();
        wait_until(&format!("{name}: {expected:?}"), LIMIT, || {
            // Before the first scrape nothing has an answer.
            let seen = !prometheus.query("bullmq_up == 1")?.is_empty();
            let same = seen && answer(&prometheus.query(query)?) == expected;
            Ok(same.then_some(()))
        })?;
        asked += 1;
    }
    assert!(asked > HOSTILE.len());
    Ok(())
}

/// The head of the answer to a request, in lower case.
fn head(exporter: &Exporter, method: &str, path: &str, headers: &str) -> Result<(String, usize)> {
    let mut stream = TcpStream::connect(exporter.address())?;
    stream.set_read_timeout(Some(LIMIT))?;
    let request = format!("{method} {path} HTTP/1.1\nHost: here\nConnection: close\n{headers}\n");
    stream.write_all(request.replace('\n', "\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n");
    let body = answer.split_off(end.context("no end of the head")? + 4);
    Ok((String::from_utf8(answer)?.to_lowercase(), body.len()))
}

#[test]
fn a_browser_is_told_what_the_page_may_do_and_a_wrong_request_what_to_write() -> Result<()> {
    let redis = Redis::start()?;
    let exporter = Exporter::start(&redis)?;
    let (page, length) = head(&exporter, "GET", "/", "Accept-Encoding: gzip\n")?;
    for header in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'; style-src 'self'; script-src 'self';",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
        "content-encoding: gzip",
        "vary: accept-encoding",
    ] {
        assert!(page.contains(header), "{header}: {page}");
    }
    assert!(!page.contains("unsafe"), "{page}");
    let (plain, whole) = head(&exporter, "GET", "/", "")?;
    assert!(!plain.contains("content-encoding") && whole > length);
    let (only, nothing) = head(&exporter, "HEAD", "/", "")?;
    assert!(only.starts_with("http/1.1 200") && nothing == 0, "{only}");
    assert!(only.contains("content-length: "), "{only}");
    for (path, content_type) in [
        ("/api/v1/status", "application/json"),
        ("/status.js", "text/javascript; charset=utf-8"),
        ("/status.css", "text/css; charset=utf-8"),
    ] {
        let (answer, _) = head(&exporter, "GET", path, "")?;
        assert!(answer.contains(&format!("content-type: {content_type}\r\n")));
    }
    for path in ["/", "/api/v1/status"] {
        let (code, told) = exporter.get(&format!("{path}?sort=age%0a"))?;
        assert_eq!(code, 400);
        assert!(
            told.starts_with("sort: `age\\n` is not known; write one of worst, queue, "),
            "{told}"
        );
    }
    Ok(())
}

#[test]
fn in_a_real_browser_it_renders_sorts_filters_refreshes_and_copies() -> Result<()> {
    let (redis, _bullmq) = scene()?;
    let exporter = exporter_of(&redis)?;
    exporter.scrape()?;
    let pictures = repository().join("target/screenshots");
    fs::create_dir_all(&pictures)?;
    let mut browser = Browser::start()?;
    browser.run(&format!(
        "kept.url = 'http://{}/'; kept.pictures = {};",
        exporter.address(),
        json!(pictures)
    ))?;

    hostile_names_are_text(&mut browser)?;
    it_is_for_everybody(&mut browser)?;
    it_sorts_filters_and_copies(&mut browser, &exporter)?;
    // A scrape later the page shows what is new.
    redis.run(&["LTRIM", "bull:email:wait", "0", "0"])?;
    exporter.scrape()?;
    it_refreshes_and_says_when_it_cannot(&mut browser)?;
    it_needs_no_script(&mut browser)
}

fn hostile_names_are_text(browser: &mut Browser) -> Result<()> {
    let hostile = browser.run(
        "const page = kept.page = await open(kept.url, { colorScheme: 'light', clock: true });
         const names = await page.locator('tbody .name').allTextContents();
         kept.ran = await page.textContent('#about');
         return { names, scripts: await page.locator('script').count(), images: await page.locator('img').count(), said: page.said };",
    )?;
    let names = hostile
        .get("names")
        .and_then(Value::as_array)
        .context("names")?;
    for name in [
        HOSTILE[0],
        HOSTILE[1],
        HOSTILE[2],
        r"two\nlines",
        r"&lt;b&gt; \u{202e}ä",
    ] {
        assert!(names.contains(&json!(name)), "{name}: {names:?}");
    }
    assert_eq!(hostile.get("scripts"), Some(&json!(1)));
    assert_eq!(hostile.get("images"), Some(&json!(0)));
    assert_eq!(hostile.get("said"), Some(&json!([])));
    Ok(())
}

/// Light, dark and narrow: pictures for people to look at, and no finding of a judge of accessibility.
fn it_is_for_everybody(browser: &mut Browser) -> Result<()> {
    let accessible = browser.run(
        "const found = {};
         for (const [name, options] of Object.entries({
           light: { colorScheme: 'light' }, dark: { colorScheme: 'dark' },
           narrow: { colorScheme: 'dark', viewport: { width: 360, height: 740 } },
         })) {
           const page = await open(kept.url, options);
           await page.locator('summary', { hasText: 'email' }).click();
           await page.locator('summary', { hasText: 'What is looked at' }).click();
           const overflows = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
           await page.screenshot({ path: `${kept.pictures}/${name}.png`, fullPage: true });
           found[name] = { findings: await findings(page), said: page.said, overflows };
           await page.context().close();
         }
         return found;",
    )?;
    let clean = json!({ "findings": [], "said": [], "overflows": false });
    assert_eq!(
        accessible,
        json!({ "light": clean, "dark": clean, "narrow": clean })
    );
    Ok(())
}

fn it_sorts_filters_and_copies(browser: &mut Browser, exporter: &Exporter) -> Result<()> {
    let used = browser.run(
        "const { page } = kept;
         const first = () => page.locator('tbody .name').first().textContent();
         const until = (test, argument) => page.waitForFunction(test, argument);
         const sorted = (title) => until((title) => document.querySelector('th[aria-sort]')?.textContent === title, title);
         const out = { worst: await first() };
         await page.click('thead a:text(\"Failed\")'); await sorted('Failed');
         out.failed = await first();
         out.focus = await page.evaluate(() => document.activeElement.textContent);
         out.chosen = await page.inputValue('[name=sort]');
         await page.keyboard.press('Enter');
         await until(() => document.querySelector('th[aria-sort=ascending]'));
         out.address = new URL(page.url()).search;
         await page.goBack(); await until(() => document.querySelector('th[aria-sort=descending]'));
         await page.fill('[name=search]', 'EMA'); await until(() => document.querySelectorAll('tbody tr').length === 1);
         out.found = await first(); out.told = await page.textContent('#found');
         await page.locator('summary', { hasText: 'email' }).click();
         await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
         await page.click('text=Copy PromQL'); await page.waitForSelector('text=Copied');
         out.copied = await page.evaluate(() => navigator.clipboard.readText());
         return out;",
    )?;
    let promql = status(exporter, "?search=email")?
        .pointer("/queues/0/promql")
        .cloned();
    assert_eq!(
        used,
        json!({
            "worst": "broken",
            "failed": "thumbnails",
            "focus": "Failed",
            "chosen": "failed",
            "address": "?sort=failed&order=asc",
            "found": "email",
            "told": "1 of 14 queues.",
            "copied": promql,
        })
    );
    Ok(())
}

/// What the reader did stays; an exporter that is gone is told.
fn it_refreshes_and_says_when_it_cannot(browser: &mut Browser) -> Result<()> {
    let refreshed = browser.run(
        "const { page } = kept;
         const until = (test) => page.waitForFunction(test);
         const waiting = () => page.textContent('td[data-label=Waiting]');
         const out = { before: await waiting() };
         await page.clock.fastForward(11000);
         await until(() => document.querySelector('td[data-label=Waiting]').textContent === '1');
         out.opened = await page.locator('tbody details[open]').count();
         out.search = await page.inputValue('[name=search]');
         out.runs = /up for \\d/.test(kept.ran) && kept.ran !== await page.textContent('#about');
         await page.click('text=Pause refresh');
         out.paused = await page.getAttribute('#pause', 'aria-pressed');
         let asked = 0; page.on('request', () => { asked += 1; });
         await page.clock.fastForward(60000); out.asked = asked;
         out.said = [...page.said];
         await page.context().setOffline(true); await page.click('#pause');
         await page.waitForSelector('#unreachable:visible');
         out.alert = (await page.textContent('#unreachable')).replace(/since .* What/, 'since ... What');
         await page.context().setOffline(false); await page.clock.fastForward(11000);
         await page.waitForSelector('#unreachable', { state: 'hidden' });
         return out;",
    )?;
    let before = refreshed
        .get("before")
        .and_then(Value::as_str)
        .and_then(|jobs| jobs.parse().ok());
    assert!(before > Some(1), "{refreshed}");
    assert_eq!(refreshed.get("opened"), Some(&json!(1)));
    assert_eq!(refreshed.get("search"), Some(&json!("EMA")));
    assert_eq!(refreshed.get("runs"), Some(&json!(true)));
    assert_eq!(refreshed.get("paused"), Some(&json!("true")));
    assert_eq!(refreshed.get("asked"), Some(&json!(0)));
    assert_eq!(refreshed.get("said"), Some(&json!([])));
    assert_eq!(
        refreshed.get("alert"),
        Some(&json!(
            "The exporter has not answered since ... What is below was true then."
        ))
    );
    Ok(())
}

fn it_needs_no_script(browser: &mut Browser) -> Result<()> {
    let without_script = browser.run(
        "const page = await open(kept.url, { javaScriptEnabled: false });
         const out = { refresh: await page.locator('meta[http-equiv=refresh]').count() };
         await page.fill('[name=search]', 'thumb'); await page.click('text=Apply');
         await page.waitForURL('**search=thumb**');
         out.names = await page.locator('tbody .name').allTextContents();
         await page.click('thead a:text(\"Ready\")'); await page.waitForURL('**search=thumb&sort=ready');
         await page.locator('summary', { hasText: 'thumbnails' }).click();
         out.query = await page.locator('.promql').isVisible();
         return out;",
    )?;
    assert_eq!(
        without_script,
        json!({ "refresh": 1, "names": ["thumbnails"], "query": true })
    );
    Ok(())
}

#[test]
fn behind_a_password_the_page_loads_its_parts_and_refreshes_and_nobody_else_sees_a_queue()
-> Result<()> {
    let redis = Redis::start()?;
    BullMq::start(Version::V6, &redis)?.run("await queue('email').add('job', {});")?;
    let folder = tempfile::tempdir()?;
    let web = folder.path().join("web.yml");
    let hash = bcrypt::hash("s3cret", 4)?;
    fs::write(&web, format!("basic_auth_users: {{anna: {hash}}}\n"))?;
    let exporter = Exporter::start_with(&[
        "--redis.url",
        &redis.url(),
        "--discovery.interval",
        "200ms",
        "--web.config.file",
        web.to_str().context("a path in UTF-8")?,
    ])?;
    let mut browser = Browser::start()?;
    let seen = browser.run(&format!(
        "const url = 'http://{}/';
         const credentials = {{ username: 'anna', password: 's3cret' }};
         const authorization = `Basic ${{btoa('anna:s3cret')}}`;
         const out = {{ stranger: await (await fetch(url)).text() }};
         for (let found = ''; !found.includes('\"email\"');) {{
           found = await (await fetch(`${{url}}metrics`, {{ headers: {{ authorization }} }})).text();
         }}
         const page = await open(url, {{ httpCredentials: credentials, clock: true }});
         out.names = await page.locator('tbody .name').allTextContents();
         out.styled = await page.evaluate(() => getComputedStyle(document.querySelector('.server')).borderRadius);
         const answers = []; page.on('response', (it) => answers.push(it.status()));
         await page.clock.fastForward(11000);
         for (let turn = 0; !answers.includes(200) && turn < 100; turn += 1) await sleep(50);
         out.refreshed = answers.includes(200);
         out.unreachable = await page.locator('#unreachable').isVisible();
         out.said = page.said;
         return out;",
        exporter.address()
    ))?;
    assert_eq!(
        seen,
        json!({
            "stranger": "A user and a password are needed.\n",
            "names": ["email"],
            "styled": "8px",
            "refreshed": true,
            "unreachable": false,
            "said": [],
        })
    );
    Ok(())
}

#[test]
fn ten_thousand_queues_are_one_page_of_bounded_size_below_any_prefix() -> Result<()> {
    let redis = Redis::start()?;
    redis.run(&[
        "EVAL",
        "for i = 1, 10000 do
           redis.call('HSET', 'bull:tenant-' .. i .. ':meta', 'opts.maxLenEvents', '10000', 'version', 'bullmq:6.7.0')
           if i % 100 == 0 then redis.call('RPUSH', 'bull:tenant-' .. i .. ':failed-list', 1) end
         end
         for i = 1, 50 do redis.call('RPUSH', 'bull:tenant-7777:wait', i) end",
        "0",
    ])?;
    let exporter = Exporter::start_with(&[
        "--redis.url",
        &redis.url(),
        "--discovery.interval",
        "1h",
        "--web.route-prefix",
        "/queues",
        "--scrape.timeout",
        "30s",
    ])?;
    wait_until("every queue is served", LIMIT, || {
        let (_, text) = exporter.get("/queues/metrics")?;
        let served = text.matches("\nbullmq_queue_up{").count();
        Ok((served == 10_000).then_some(()))
    })?;
    let (_, text) = exporter.get("/queues/")?;
    assert!(text.len() < 400_000, "{} bytes", text.len());
    assert!(text.contains("9,900 more: search to see them."));
    let (_, all) = exporter.get("/queues/api/v1/status?limit=10000")?;
    assert_eq!(listed(&serde_json::from_str(&all)?).len(), 10_000);
    assert!(all.len() < 15_000_000, "{} bytes", all.len());

    let mut browser = Browser::start()?;
    let began = Instant::now();
    let seen = browser.run(&format!(
        "const page = await open('http://{}/queues/');
         const out = {{ first: await page.locator('tbody .name').first().textContent(), rows: await page.locator('tbody tr').count() }};
         await page.screenshot({{ path: {}, fullPage: false }});
         await page.fill('[name=search]', 'tenant-999');
         await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 11);
         out.told = await page.textContent('#found');
         out.said = page.said;
         return out;",
        exporter.address(),
        json!(repository().join("target/screenshots/10000-queues.png")),
    ))?;
    assert_eq!(
        seen,
        json!({ "first": "tenant-7777", "rows": 100, "told": "11 of 10,000 queues, the worst first.", "said": [] })
    );
    // It takes a second; more than this would not be the machine's fault.
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    Ok(())
}
