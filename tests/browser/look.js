// Looks at the box's pages in Chromium, as people do: look.js SCENE URL [ARGUMENT...]
// Ends with an error that says what somebody would have noticed.
const assert = require("node:assert");
const fs = require("node:fs");
const { chromium } = require("playwright-core");

const AXE = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const WIDTHS = { phone: 360, tablet: 800, wide: 1400 };
const THEMES = ["light", "dark"];
const PATIENCE = 100000; // ms; a machine in QEMU takes its time with a disc
// The longest page, as it is sent.
const MAX_BYTES = 100_000;

let browser;

// A page on which nothing may go wrong unnoticed: no error, no request to anybody else.
async function open(url, options = {}) {
  const context = await browser.newContext({ bypassCSP: false, ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.wrong = [];
  page.on("console", (message) => {
    if (message.type() === "error") page.wrong.push(message.text());
  });
  page.on("pageerror", (error) => page.wrong.push(String(error)));
  const host = new URL(url).host;
  page.on("request", (request) => {
    if (new URL(request.url()).host !== host) page.wrong.push(`asks for ${request.url()}`);
  });
  await page.goto(url);
  return page;
}

// Fails with all that is wrong, if anything is.
function nothing(wrong, what) {
  if (wrong.length) throw new Error(`${what}:\n${wrong.join("\n")}`);
}

// Set on a page, it is there as long as the page is not loaded anew.
const mark = (page) => page.evaluate(() => void (window.isStillHere = true));
const isStillHere = (page) => page.evaluate(() => window.isStillHere === true);

const names = (page) => page.locator(".items h2").allTextContents();

// Waits until the items are these, in this order.
async function untilNames(page, expected) {
  const same = (wanted) => {
    const shown = [...document.querySelectorAll(".items h2")].map((name) => name.textContent);
    return JSON.stringify(shown) === wanted;
  };
  await page.waitForFunction(same, JSON.stringify(expected)).catch(async () => {
    assert.deepEqual(await names(page), expected);
  });
}

const scenes = {
  // Every page in every width and theme: a picture in FOLDER, nothing that axe takes offence at, nothing beyond the edge.
  async pictures(url, item, folder) {
    for (const [name, address] of [["index", url], ["item", item], ["admin", new URL("/admin", url).href]]) {
      for (const theme of THEMES) {
        for (const [width, pixels] of Object.entries(WIDTHS)) {
          const what = `${name}-${width}-${theme}`;
          const viewport = { width: pixels, height: Math.round(pixels < 500 ? pixels * 2 : pixels * 0.7) };
          const page = await open(address, { viewport, colorScheme: theme });
          if (name === "item") await page.locator("#code summary").click();
          await page.screenshot({ path: `${folder}/${what}.png` });
          const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
          assert(overflow <= 0, `${what}: ${overflow} pixels are beyond the edge`);
          // Only here: the page itself runs no script of anybody else.
          await page.evaluate(AXE).catch(() => page.addScriptTag({ content: AXE }));
          const { violations } = await page.evaluate(() => axe.run());
          const told = violations.map((it) => `${it.impact}: ${it.help}: ${it.nodes.map((node) => node.html).join(" ")}`);
          nothing([...told, ...page.wrong], what);
          await page.context().close();
        }
      }
    }
  },

  // What is published while somebody looks is shown to him.
  async live(url, name) {
    const page = await open(url);
    await mark(page);
    console.log("looking");
    await page.locator(".items h2", { hasText: name }).waitFor();
    await page.getByRole("link", { name: `.torrent file of ${name}`, exact: true }).waitFor();
    assert(await isStillHere(page), "the page was loaded anew");
    nothing(page.wrong, "the page");
  },

  // Items a.iso, b.iso and c.img are found and sorted without loading the page anew.
  async search(url) {
    const page = await open(url);
    await mark(page);
    await page.getByRole("link", { name: "by name" }).click();
    await untilNames(page, ["a.iso", "b.iso", "c.img"]);
    await page.getByRole("searchbox").fill("ISO");
    await untilNames(page, ["a.iso", "b.iso"]);
    assert.equal(new URL(page.url()).search, "?q=ISO&sort=name");
    await page.getByRole("link", { name: "largest first" }).click();
    await untilNames(page, ["b.iso", "a.iso"]);
    await page.getByRole("searchbox").fill("nothing like it");
    await page.getByText("0 items found.").waitFor();
    assert(await isStillHere(page), "the page was loaded anew");
    // Who goes elsewhere and comes back finds what he had.
    await page.getByRole("searchbox").fill("c.");
    await untilNames(page, ["c.img"]);
    await page.getByRole("link", { name: "c.img", exact: true }).click();
    await page.locator("h1", { hasText: "c.img" }).waitFor();
    await page.goBack();
    await untilNames(page, ["c.img"]);
    nothing(page.wrong, "the page");
  },

  // The same where no script runs.
  async plain(url) {
    const page = await open(url, { javaScriptEnabled: false });
    await page.getByRole("searchbox").fill("iso");
    await page.getByRole("button", { name: "Search" }).click();
    await page.getByRole("link", { name: "largest first" }).click();
    assert.deepEqual(await names(page), ["b.iso", "a.iso"]);
    await page.getByRole("link", { name: "a.iso", exact: true }).click();
    assert.equal(await page.locator("h1").textContent(), "a.iso");
    const waiting = page.waitForEvent("download");
    await page.getByRole("link", { name: "Direct download: a.iso" }).click();
    assert.equal((await waiting).suggestedFilename(), "a.iso");
    assert.equal(await page.locator("noscript").count(), 0, "the item's page changes little");
    await page.goto(url);
    assert.match(await page.content(), /http-equiv="refresh"/);
    nothing(page.wrong, "the page");
  },

  // Everything is in reach of the keyboard, in the order of reading.
  async keyboard(url) {
    const page = await open(url);
    const press = async (key) => {
      await page.keyboard.press(key);
      return page.evaluate(() => document.activeElement.textContent.trim());
    };
    assert.equal(await press("Tab"), "Skip to the content");
    await page.keyboard.press("Enter");
    assert.equal(await press("Tab"), "How do I download?");
    await page.keyboard.press("Enter");
    assert(await page.locator("#how").evaluate((details) => details.open));
    await page.keyboard.press("Tab");
    await page.keyboard.type("b.iso");
    await untilNames(page, ["b.iso"]);
    assert.equal(await press("Tab"), "Search");
    for (const order of ["newest first", "by name", "largest first", "most downloaded first", "b.iso", "Magnet link"]) {
      assert.equal(await press("Tab"), order);
    }
    nothing(page.wrong, "the page");
  },

  // Who reads figures on the page of the box keeps them open, and his place, while the page is kept up to date.
  async steady(url) {
    const page = await open(url);
    await mark(page);
    const running = page.locator("dt", { hasText: "Running for" }).locator("xpath=following-sibling::dd");
    const before = await running.textContent();
    await page.locator("#figures-hour summary").focus();
    await page.keyboard.press("Enter");
    await page.waitForFunction(
      (text) => [...document.querySelectorAll("dt")].some((it) => it.textContent === "Running for" && it.nextElementSibling.textContent !== text),
      before,
    );
    const isOpen = await page.locator("#figures-hour").evaluate((details) => details.open);
    const place = await page.evaluate(() => document.activeElement.closest("details")?.id);
    assert.deepEqual([isOpen, place], [true, "figures-hour"]);
    assert(await page.getByRole("cell", { name: "3.0 kB" }).first().isVisible(), "the figures");
    assert(await isStillHere(page), "the page was loaded anew");
    nothing(page.wrong, "the page");
  },

  // How much is sent and how long it takes until something is seen. SHORTEST: bytes of the page that it is more than.
  async figures(url) {
    const page = await open(url);
    await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length > 0);
    const { requests, bytes, html, paint } = await page.evaluate(() => {
      const [navigation] = performance.getEntriesByType("navigation");
      const parts = [navigation, ...performance.getEntriesByType("resource").filter((it) => it.initiatorType !== "other")];
      return {
        requests: parts.length,
        bytes: parts.reduce((sum, part) => sum + part.transferSize, 0),
        html: navigation.decodedBodySize,
        paint: performance.getEntriesByName("first-contentful-paint")[0].startTime,
      };
    });
    assert(html < MAX_BYTES, `the page has ${html} bytes`);
    console.log(`figures ${requests} requests, ${bytes} bytes sent, ${html} bytes of HTML, first paint after ${Math.round(paint)} ms`);
    nothing(page.wrong, "the page");
  },
};

(async () => {
  const [scene, ...rest] = process.argv.slice(2);
  browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"],
  });
  await scenes[scene](...rest);
  await browser.close();
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
