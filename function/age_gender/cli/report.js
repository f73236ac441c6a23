"use strict";
(() => {
  const { faces, header, reasons } = JSON.parse(document.getElementById("data").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const BANDS = 10;
  const TAIL = 0.1; // of the 80 % range, on each side
  const EXACT = 2000; // faces, beyond which a normal distribution is as good
  const byId = (id) => document.getElementById(id);
  const form = byId("filters");

  /** The faces that the filters let through. */
  function chosen() {
    const wanted = Object.fromEntries(new FormData(form));
    const from = wanted.from === "" ? -Infinity : Number(wanted.from);
    const to = wanted.to === "" ? Infinity : Number(wanted.to);
    const name = wanted.name.trim().toLowerCase();
    return faces.filter((face) => {
      const age = Math.round(face.age);
      return (
        (!wanted.gender || face.gender === wanted.gender) &&
        age >= from &&
        age <= to &&
        (!wanted.reliable || face.reliable === (wanted.reliable === "yes")) &&
        (!wanted.reason || face.reasons.includes(wanted.reason)) &&
        (!name || face.name.toLowerCase().includes(name))
      );
    });
  }

  /** Probability that a face is of this gender. */
  const probability = (face, gender) =>
    face.gender === gender ? face.probability : 1 - face.probability;

  /**
   * Expected value and 80 % range of the number of successes among independent trials.
   *
   * @param {number[]} chances of each trial
   */
  function counted(chances) {
    const mean = chances.reduce((sum, p) => sum + p, 0);
    const likely = chances.filter((p) => p > 1e-6);
    if (likely.length > EXACT) {
      const deviation = Math.sqrt(likely.reduce((sum, p) => sum + p * (1 - p), 0));
      const half = 1.2816 * deviation;
      return { mean, low: Math.max(0, Math.round(mean - half)), high: Math.round(mean + half) };
    }
    let distribution = [1]; // of the number so far
    for (const p of likely) {
      const next = new Array(distribution.length + 1).fill(0);
      distribution.forEach((share, count) => {
        next[count] += share * (1 - p);
        next[count + 1] += share * p;
      });
      distribution = next;
    }
    const quantile = (q) => {
      let sum = 0;
      return Math.max(0, distribution.findIndex((share) => (sum += share) >= q - 1e-9));
    };
    return { mean, low: quantile(TAIL), high: quantile(1 - TAIL) };
  }

  function median(values) {
    const sorted = [...values].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }

  const range = ({ low, high }) => (low === high ? `${low}` : `${low}–${high}`);
  const label = (band) => (band === BANDS - 1 ? "90+" : `${band * 10}–${band * 10 + 9}`);

  function element(tag, attributes, text = "") {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
    made.textContent = text;
    return made;
  }

  function drawPyramid(bands) {
    const [width, row, centre, gap] = [640, 30, 320, 30];
    const most = Math.max(1, ...bands.flatMap(({ F, M }) => [F.high, F.mean, M.high, M.mean]));
    const unit = (centre - gap - 46) / most;
    const parts = [];
    bands.forEach((band, index) => {
      const y = (BANDS - 1 - index) * row;
      const middle = y + row / 2;
      parts.push(
        element("text", { x: centre, y: middle + 5, "text-anchor": "middle" }, label(index)),
      );
      for (const [gender, side] of [["F", -1], ["M", 1]]) {
        const { mean, low, high } = band[gender];
        const start = centre + side * gap;
        const long = mean * unit;
        const x = side < 0 ? start - long : start;
        const style = { class: gender === "F" ? "women" : "men", rx: 3 };
        parts.push(element("rect", { x, y: y + 5, width: long, height: row - 10, ...style }));
        if (high === 0) continue;
        const [a, b] = [start + side * low * unit, start + side * high * unit];
        parts.push(element("line", { x1: a, x2: b, y1: middle, y2: middle }));
        for (const end of [a, b]) {
          parts.push(element("line", { x1: end, x2: end, y1: middle - 4, y2: middle + 4 }));
        }
        const place = start + side * (Math.max(long, high * unit) + 6);
        const anchor = side < 0 ? "end" : "start";
        const text = { x: place, y: middle + 5, "text-anchor": anchor, class: "count" };
        parts.push(element("text", text, range(band[gender])));
      }
    });
    byId("pyramid").setAttribute("viewBox", `0 0 ${width} ${row * BANDS}`);
    byId("pyramid").replaceChildren(...parts);
  }

  function html(tag, text = "", attributes = {}) {
    const made = document.createElement(tag);
    made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  }

  function fillTable(bands) {
    const head = html("tr");
    for (const name of ["age", "F, expected", "F, range", "M, expected", "M, range"]) {
      head.append(html("th", name, { scope: "col" }));
    }
    const rows = bands.map(({ F, M }, index) => {
      const line = html("tr");
      line.append(html("th", label(index), { scope: "row" }));
      for (const cell of [F.mean.toFixed(1), range(F), M.mean.toFixed(1), range(M)]) {
        line.append(html("td", cell));
      }
      return line;
    });
    byId("ages").replaceChildren(head, ...rows);
  }

  function listReasons(shown) {
    const items = Object.entries(reasons)
      .map(([reason, text]) => [text, shown.filter((f) => f.reasons.includes(reason)).length])
      .filter(([, count]) => count)
      .sort((a, b) => b[1] - a[1])
      .map(([text, count]) => {
        const share = (count / shown.length) * 100;
        const item = html("li", `${text}: ${count} of ${shown.length} (${share.toFixed(0)} %)`);
        const bar = html("i");
        bar.style.width = `${share}%`;
        item.append(bar);
        return item;
      });
    byId("reasons").replaceChildren(...(items.length ? items : [html("li", "none are")]));
  }

  let address = "";

  function offerCsv(shown) {
    URL.revokeObjectURL(address);
    const rows = [header, ...shown.map((face) => face.csv)];
    address = URL.createObjectURL(new Blob(rows, { type: "text/csv" }));
    byId("filtered").href = address;
    byId("filtered").hidden = shown.length === faces.length;
  }

  function show() {
    const shown = chosen();
    const all = shown.length === faces.length;
    byId("count").textContent = `${shown.length} ${shown.length === 1 ? "face" : "faces"}`;
    byId("of").textContent = all ? "" : `of ${faces.length}`;
    byId("median").textContent = shown.length ? median(shown.map((f) => f.age)).toFixed(0) : "–";
    const women = counted(shown.map((face) => probability(face, "F")));
    byId("women").textContent = shown.length ? `${Math.round(women.mean)} (${range(women)})` : "–";
    const doubtful = shown.filter((face) => !face.reliable).length;
    const share = shown.length ? ` (${((doubtful / shown.length) * 100).toFixed(0)} %)` : "";
    byId("unreliable").textContent = `${doubtful} of ${shown.length}${share}`;
    const bands = Array.from({ length: BANDS }, (_, band) => {
      const of = (gender) =>
        counted(shown.map((face) => face.bands[band] * probability(face, gender)));
      return { F: of("F"), M: of("M") };
    });
    drawPyramid(bands);
    fillTable(bands);
    listReasons(shown);
    offerCsv(shown);
    const indices = new Set(shown.map((face) => faces.indexOf(face)));
    for (const part of document.querySelectorAll("[data-face]")) {
      part.classList.toggle("out", !indices.has(Number(part.dataset.face)));
    }
    const visible = new Set(shown.map((face) => face.picture));
    for (const figure of document.querySelectorAll("figure")) {
      figure.hidden = !all && !visible.has(Number(figure.dataset.picture));
    }
    byId("none").hidden = all || shown.length > 0;
  }

  form.addEventListener("input", show);
  form.addEventListener("reset", () => setTimeout(show));
  form.addEventListener("submit", (event) => event.preventDefault());
  show();
})();
