// Reads the page anew and puts its parts in place, so that what the reader has opened, typed or scrolled to stays. The server searches,
// sorts and writes; nothing is built from text here.
"use strict";

(() => {
  const root = document.documentElement;
  const form = document.querySelector("form");
  const pause = document.getElementById("pause");
  const unreachable = document.getElementById("unreachable");
  const interval = Number(root.dataset.refresh) * 1000;
  const patience = 10_000;
  let paused = false;
  let timer;
  let latest = 0;
  let answered = new Date();

  const address = () => location.pathname + location.search;

  // What is selected is about to be copied, and would be gone.
  const selecting = () => {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed
      && selection.anchorNode?.parentElement?.closest("[data-live]");
  };

  // Where the focus is, in words that still fit after the part was replaced.
  const focusIn = (part) => {
    const focused = document.activeElement;
    if (!part.contains(focused)) return null;
    const key = focused.closest("[data-key]")?.dataset.key;
    const all = (place) => [...place.querySelectorAll("a, button, summary, pre")];
    const within = (place) =>
      (key === undefined ? place : [...place.querySelectorAll("[data-key]")].find((it) => it.dataset.key === key)) ?? null;
    const index = all(within(part)).indexOf(focused);
    return () => {
      const place = within(part);
      if (place) all(place)[index]?.focus({ preventScroll: true });
    };
  };

  const replace = (part, fresh) => {
    const opened = new Set([...part.querySelectorAll("details[open]")].map((it) => it.dataset.key));
    const refocus = focusIn(part);
    part.replaceChildren(...fresh.childNodes);
    for (const details of part.querySelectorAll("details")) {
      details.open = opened.has(details.dataset.key);
    }
    offerCopying(part);
    refocus?.();
  };

  const offerCopying = (place) => {
    for (const button of place.querySelectorAll("[data-copy]")) button.hidden = false;
  };

  const load = async () => {
    clearTimeout(timer);
    const turn = ++latest;
    try {
      const response = await fetch(address(), { cache: "no-store", signal: AbortSignal.timeout(patience) });
      if (!response.ok) throw new Error(`status ${response.status}`);
      const text = await response.text();
      // A later question has been asked in the meantime.
      if (turn !== latest) return;
      const fresh = new DOMParser().parseFromString(text, "text/html");
      if (!fresh.getElementById("table")) throw new Error("another page");
      for (const part of document.querySelectorAll("[data-live]")) {
        replace(part, fresh.getElementById(part.id));
      }
      const found = document.getElementById("found");
      const told = fresh.getElementById("found").textContent;
      // A screen reader reads it out whenever it changes.
      if (found.textContent !== told) found.textContent = told;
      document.title = fresh.title;
      answered = new Date();
      unreachable.hidden = true;
      document.body.classList.remove("unreachable");
    } catch (error) {
      if (turn !== latest) return;
      if (unreachable.hidden) {
        unreachable.textContent = `The exporter has not answered since ${answered.toLocaleTimeString()} (${error.message}). What is below was true then.`;
      }
      unreachable.hidden = false;
      document.body.classList.add("unreachable");
    }
    wait();
  };

  const wait = () => {
    clearTimeout(timer);
    if (paused) return;
    timer = setTimeout(() => (document.hidden || selecting() ? wait() : load()), interval);
  };

  const go = (query, remember) => {
    const target = location.pathname + (query && `?${query}`);
    if (remember) history.pushState(null, "", target);
    else history.replaceState(null, "", target);
    load();
  };

  const asked = () => {
    const query = new URLSearchParams(new FormData(form));
    for (const [name, value] of [...query]) if (!value) query.delete(name);
    return query.toString();
  };

  const fillIn = () => {
    const query = new URLSearchParams(location.search);
    for (const name of ["search", "show", "sort"]) form.elements[name].value = query.get(name) ?? "";
  };

  let typing;
  form.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => go(asked(), false), 150);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(typing);
    go(asked(), true);
  });
  form.querySelector("[type=submit]").hidden = true;

  addEventListener("popstate", () => {
    fillIn();
    load();
  });
  addEventListener("pageshow", fillIn);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !paused) load();
  });

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    if (paused) wait();
    else load();
  });

  const copy = async (text) => {
    // Browsers give the clipboard only to pages over HTTPS or of this machine.
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(text);
      return true;
    }
    return document.execCommand("copy");
  };

  document.addEventListener("click", async (event) => {
    const sort = event.target.closest?.("a[data-sort]");
    if (sort && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      go(new URL(sort.href).search.slice(1), true);
      fillIn();
      return;
    }
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    const query = button.parentElement.querySelector(".promql");
    const selection = document.getSelection();
    selection.selectAllChildren(query);
    let copied = false;
    try {
      copied = await copy(query.textContent);
    } catch {
      // It stays selected, to be copied by hand.
    }
    if (copied) selection.removeAllRanges();
    button.textContent = copied ? "Copied" : "Selected: copy it by hand";
    setTimeout(() => { button.textContent = "Copy PromQL"; }, 2000);
  });

  offerCopying(document);
  wait();
})();
