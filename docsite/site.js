"use strict";
(() => {
  const root = document.currentScript.dataset.root;
  const field = document.getElementById("search");
  const found = document.getElementById("found");
  const MOST = 12;
  let loading;

  // On phones the list of pages would fill the first screen.
  if (matchMedia("(max-width: 900px)").matches) document.querySelector("nav details").open = false;

  /** The index as a script: pages opened from a disk may not fetch files. */
  function load() {
    loading ??= new Promise((resolve) => {
      const script = document.createElement("script");
      script.src = `${root}/search-index.js`;
      script.onload = () => resolve(window.searchIndex);
      document.head.append(script);
    });
    return loading;
  }

  /** How well a section fits: every word has to occur, and those of titles count more. */
  function score(entry, words) {
    const title = `${entry.page} ${entry.title}`.toLowerCase();
    const text = entry.text.toLowerCase();
    let sum = 0;
    for (const word of words) {
      if (title.includes(word)) sum += 10;
      else if (text.includes(word)) sum += 1;
      else return 0;
    }
    return sum;
  }

  function excerpt(entry, word) {
    const at = Math.max(0, entry.text.toLowerCase().indexOf(word) - 40);
    return `${at ? "…" : ""}${entry.text.slice(at, at + 120)}…`;
  }

  async function search() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    found.hidden = words.length === 0;
    if (!words.length) return;
    const index = await load();
    const hits = index
      .map((entry) => [score(entry, words), entry])
      .filter(([points]) => points)
      .sort((a, b) => b[0] - a[0])
      .slice(0, MOST)
      .map(([, entry]) => {
        const link = document.createElement("a");
        link.href = `${root}/${entry.link}`;
        const title = document.createElement("b");
        title.textContent = entry.page === entry.title ? entry.page : `${entry.page}: ${entry.title}`;
        const text = document.createElement("span");
        text.textContent = excerpt(entry, words[0]);
        link.append(title, text);
        return link;
      });
    found.replaceChildren(...(hits.length ? hits : ["Nothing has all these words."]));
  }

  field.addEventListener("input", search);
  field.addEventListener("focus", load);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") found.hidden = true;
    if (event.key === "/" && !event.target.matches("input, textarea")) {
      event.preventDefault();
      field.focus();
    }
  });
})();
