// Runs JavaScript from standard input, one JSON object {code} a line, beside a headless Chromium; answers {value} or {error}, one line
// each, on standard output. Ends with its standard input, and the browser with it.
import { readFile } from 'node:fs/promises';
import { chromium } from 'playwright-core';
import { runLines } from '../run-lines.mjs';

const [, , executablePath] = process.argv;
const browser = await chromium.launch({
  executablePath,
  headless: true,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync',
  ],
});
const axe = await readFile(new URL('node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');

// A page of its own context, on which nothing may go wrong unseen: what the console, the page or a dialog says is collected in `said`.
// With `clock` its time is the test's to move on.
const open = async (url, { clock, ...options } = {}) => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  if (clock) await page.clock.install();
  page.setDefaultTimeout(15_000);
  page.said = [];
  page.on('console', (message) => message.type() === 'error' && page.said.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => page.said.push(`error: ${error.message}`));
  page.on('dialog', async (dialog) => { page.said.push(`dialog: ${dialog.message()}`); await dialog.dismiss(); });
  await page.goto(url);
  return page;
};

// What axe-core finds on the page and calls serious or critical, in its words.
const findings = async (page) => {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html).slice(0, 3).join(' ')}`);
};

await runLines({ browser, open, findings });
await browser.close();
process.exit(0);
