// Drives one Chromium for many tests: a command per line of stdin, {"do": name, ...}, an answer per line of stdout,
// {"ok": value} or {"error": text}. Arguments: the node_modules folder with playwright-core, the browser's path.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [modules, executablePath] = process.argv.slice(2);
const { chromium, devices } = createRequire(`${modules}/`)("playwright-core");

const browser = await chromium.launch({
  executablePath,
  headless: true,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP phone.test 127.0.0.1", // a name that is no secure context on plain http
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
  ],
});

let context = null;
let page = null;
let requests = [];
let errors = [];

const COMMANDS = {
  version: () => browser.version(),

  /** A phone with nothing stored; `options` are those of a playwright context. */
  async phone({ options = {}, init = "" }) {
    await context?.close();
    context = await browser.newContext({ ...devices["Pixel 7"], permissions: ["camera"], ...options });
    context.setDefaultTimeout(60_000);
    if (init) await context.addInitScript(init);
    requests = [];
    errors = [];
    context.on("request", (request) => requests.push(`${request.method()} ${request.url()}`));
    page = await context.newPage();
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("console", (message) => {
      // LiteRT writes what it does to console.error, marked INFO or WARNING.
      if (message.type() === "error" && !/^(INFO|WARNING):/.test(message.text())) errors.push(`${message.text()} ${message.location().url}`.trim());
    });
  },

  open: async ({ url }) => void (await page.goto(url)),
  reload: async () => void (await page.reload()),

  /** page.waitForFunction evaluates text inside the page, which its content security policy forbids. */
  async until({ script, seconds = 60 }) {
    const end = Date.now() + 1000 * seconds;
    while (!(await page.evaluate(script).catch(() => false))) {
      if (Date.now() > end) throw new Error(`not within ${seconds} s`);
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
  },

  run: ({ script }) => page.evaluate(script),
  click: ({ on }) => page.click(on),
  fill: ({ on, text }) => page.fill(on, text),
  choose: ({ on, value }) => page.selectOption(on, value),
  upload: ({ on, files }) => page.setInputFiles(on, files),
  shot: async ({ path, whole = false, clear = false }) =>
    void (await page.screenshot({ path, fullPage: whole, omitBackground: clear })),
  size: ({ width, height }) => page.setViewportSize({ width, height }),
  /** Why Chromium would not offer to install the page as an app. */
  async installable() {
    const session = await context.newCDPSession(page);
    const { installabilityErrors } = await session.send("Page.getInstallabilityErrors");
    const { errors } = await session.send("Page.getAppManifest");
    // A fresh profile is off the record, where nothing is installed.
    return [...installabilityErrors.filter((error) => error.errorId !== "in-incognito"), ...errors];
  },

  requests: () => requests,
  errors: () => errors,
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let answer;
  try {
    answer = { ok: (await COMMANDS[command.do](command)) ?? null };
  } catch (error) {
    answer = { error: String(error.stack ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
