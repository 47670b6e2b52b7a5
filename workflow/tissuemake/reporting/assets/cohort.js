"use strict";
// Sorts the tables of the cohort page, searches and filters its samples, and shows what one sample cost.

function sortKey(cell) {
  if (!cell) return ""; // a failed sample's reason spans the columns it has no numbers for
  const value = cell.dataset.sort ?? cell.textContent.trim();
  const number = Number(value);
  return value !== "" && Number.isFinite(number) ? number : value.toLowerCase();
}

const words = new Intl.Collator("en", { numeric: true });

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === typeof b) return words.compare(a, b);
  return typeof a === "number" ? -1 : 1;
}

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = heading.querySelector("button");
    button?.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      const rows = [...body.rows].map((row) => [sortKey(row.cells[column]), row]);
      // What is missing stays at the end in either order.
      rows.sort(([a], [b]) => (a === "" || b === "" ? (a === "") - (b === "") : compare(a, b) * (down ? -1 : 1)));
      body.append(...rows.map(([, row]) => row));
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    });
  });
}

const find = document.getElementById("find");
if (find) {
  const status = document.getElementById("find-status");
  const group = document.getElementById("find-group");
  const found = document.getElementById("found");
  const rows = [...document.querySelector("table.samples").tBodies[0].rows];
  let texts = null; // read off the page at the first search, not while it loads

  const filter = () => {
    texts ??= rows.map((row) => row.textContent.toLowerCase());
    const wanted = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    rows.forEach((row, i) => {
      const shown =
        (!status.value || (status.value === "unusual" ? "unusual" in row.dataset : row.classList.contains(status.value))) &&
        (!group?.value || row.dataset.group === group.value) &&
        wanted.every((word) => texts[i].includes(word));
      if (row.hidden === shown) row.hidden = !shown;
      left += shown;
    });
    const all = rows.length.toLocaleString("en");
    found.textContent = left === rows.length ? `${all} samples` : `${left.toLocaleString("en")} of ${all} samples`;
  };
  find.addEventListener("input", filter);
  for (const choice of [status, group]) choice?.addEventListener("change", filter);
}

const seconds = (value) =>
  value < 60 ? `${value.toFixed(1)} s` : value < 3600 ? `${(value / 60).toFixed(1)} min` : `${(value / 3600).toFixed(1)} h`;
const megabytes = (value) =>
  value === null ? "–" : value < 1000 ? `${value.toFixed(0)} MB` : `${(value / 1024).toFixed(1)} GB`;

const dialog = document.getElementById("steps");
if (dialog) {
  let cost = null;
  document.querySelector("table.samples").addEventListener("click", (event) => {
    const sample = event.target.closest("button.steps")?.dataset.sample;
    if (sample === undefined) return;
    cost ??= JSON.parse(document.getElementById("steps-data").textContent);
    document.getElementById("steps-title").textContent = sample;
    const lines = cost.samples[sample].map(([stage, time, memory]) => {
      const line = document.createElement("tr");
      [cost.stages[stage], seconds(time), megabytes(memory)].forEach((text, i) => {
        const cell = line.insertCell();
        cell.className = i ? "number" : "wrapped";
        cell.textContent = text;
      });
      return line;
    });
    dialog.querySelector("tbody").replaceChildren(...lines);
    dialog.showModal();
  });
}
document.documentElement.dataset.ready = "yes";
