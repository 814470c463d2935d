// Keeps the page up to date, and searches and sorts without loading it anew. Everything works without it too.
"use strict";
(() => {
  const LIVE = "live";
  const TYPING_PAUSE = 250; // ms
  const WITHOUT_EVENTS = 60000; // ms

  // By what a link, a summary or a table that is scrolled is found again in what is shown next.
  const sign = (element) =>
    element.getAttribute("href") ?? element.getAttribute("aria-label") ?? element.closest("details[id]")?.id;

  let newest = 0;

  // Shows what `address` has in the place of what is shown, unless something else was asked for meanwhile.
  async function show(address) {
    const mine = ++newest;
    const answer = await fetch(address);
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = page.getElementById(LIVE);
    const now = document.getElementById(LIVE);
    if (mine !== newest || !next || !now || next.innerHTML === now.innerHTML) return;
    const focused = now.contains(document.activeElement) ? sign(document.activeElement) : null;
    const open = [...now.querySelectorAll("details[open][id]")].map((details) => details.id);
    now.replaceWith(next);
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focused) [...next.querySelectorAll("a, summary, [tabindex]")].find((it) => sign(it) === focused)?.focus();
  }

  // Failing is no reason to say anything: the next event is soon.
  const look = () => document.hidden || show(location.href).catch(() => {});

  function goTo(address) {
    history.replaceState(null, "", address);
    show(address).catch(() => location.assign(address));
  }

  const live = document.getElementById(LIVE);
  if (!live) return;

  const events = new EventSource(live.dataset.events);
  events.onmessage = look;
  events.onerror = () => {
    // Where all places are taken the browser does not try again.
    if (events.readyState === EventSource.CLOSED) setInterval(look, WITHOUT_EVENTS);
  };
  document.addEventListener("visibilitychange", look);

  document.addEventListener("click", (event) => {
    const link = event.target.closest(".orders a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    goTo(link.href);
  });

  const form = document.querySelector("form.search");
  if (!form) return;
  const search = () => {
    const address = new URL(form.action);
    address.search = new URLSearchParams(new FormData(form)).toString();
    const sort = new URL(location.href).searchParams.get("sort");
    address.searchParams.delete("sort");
    if (sort) address.searchParams.set("sort", sort);
    goTo(address.href);
  };
  let pause;
  form.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(search, TYPING_PAUSE);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(pause);
    search();
  });
})();
