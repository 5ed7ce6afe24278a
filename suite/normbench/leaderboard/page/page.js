"use strict";
// Sorts tables by their headings and filters their rows; without it the page is plain tables.
(() => {
  const rows = [...document.querySelectorAll("tbody tr")];
  rows.forEach((row, place) => { row.place = place; });

  function compare(column, numbers, sign) {
    const key = (row) => {
      const cell = row.cells[column];
      if (!numbers) return cell.textContent;
      return cell.dataset.key === undefined ? NaN : Number(cell.dataset.key);
    };
    const missing = (value) => (numbers ? Number.isNaN(value) : value === "");
    const order = numbers ? (a, b) => (a < b ? -1 : Number(a > b))
      : (a, b) => a.localeCompare(b, "en", { numeric: true });
    return (first, second) => {
      const [a, b] = [key(first), key(second)];
      // What is missing stays at the end; what is equal keeps the table's own order.
      if (missing(a) || missing(b)) return missing(a) - missing(b) || first.place - second.place;
      return sign * order(a, b) || first.place - second.place;
    };
  }

  function sort(table, head) {
    const upward = head.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", upward ? "ascending" : "descending");
    const body = table.tBodies[0];
    const numbers = head.dataset.sort === "number";
    body.append(...[...body.rows].sort(compare(head.cellIndex, numbers, upward ? 1 : -1)));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const head of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, head));
      head.append(button);
    }
  }

  // A row of a board stands in several tables; what one of them says of it, all of them know.
  const known = new Map();
  for (const row of rows) {
    const section = row.closest("section");
    const name = row.dataset.row || row;
    const entry = known.get(name) || { text: "", rows: [], facets: {} };
    entry.text += ` ${row.textContent.toLowerCase()}`;
    entry.rows.push(row);
    Object.assign(entry.facets, row.dataset, section ? { problem: section.dataset.problem } : {});
    known.set(name, entry);
  }

  const form = document.getElementById("filters");
  function apply() {
    const wanted = Object.fromEntries(new FormData(form));
    const words = wanted.words.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = Object.entries(wanted).filter(([name, value]) => name !== "words" && value);
    let shown = 0;
    let boards = 0;
    for (const entry of known.values()) {
      const fits = words.every((word) => entry.text.includes(word))
        && chosen.every(([name, value]) => [undefined, value].includes(entry.facets[name]));
      for (const row of entry.rows) row.hidden = !fits && row.closest("main") !== null;
      if (entry.facets.row) { boards += 1; shown += fits; }
    }
    for (const section of document.querySelectorAll("main > section")) {
      const own = [...section.querySelectorAll("tbody tr")];
      section.hidden = own.length > 0 && own.every((row) => row.hidden);
    }
    form.querySelector("output").textContent = boards ? `${shown} of ${boards} rows` : "";
  }
  if (form) {
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(apply));
    form.hidden = false;
    apply();
  }

  // Paper has no way to unfold.
  const folded = [...document.querySelectorAll("details")];
  let open = [];
  window.addEventListener("beforeprint", () => {
    open = folded.filter((part) => part.open);
    for (const part of folded) part.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const part of folded) part.open = open.includes(part);
  });
})();
