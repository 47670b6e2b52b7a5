"use strict";
// Sorts the tables of the cohort page: click a heading, click again to turn the order round.

function sortKey(cell) {
  if (!cell) return ""; // a failed sample's reason spans the columns it has no numbers for
  const value = cell.dataset.sort ?? cell.textContent.trim();
  const number = Number(value);
  return value !== "" && Number.isFinite(number) ? number : value.toLowerCase();
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === typeof b) return a.localeCompare(b, "en", { numeric: true });
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
document.documentElement.dataset.ready = "yes";
