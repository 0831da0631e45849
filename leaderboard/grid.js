// Draws the leaderboard table. Everything from data goes in as text nodes, so no name can become markup.

function element(kind, className, text) {
  const made = document.createElement(kind);
  if (className) made.className = className;
  if (text !== undefined && text !== null) made.textContent = text;
  return made;
}

// What sorts by a column: its name, and how the rows are sorted by it now.
function sorter(column, sort, setTriggerValue) {
  const sorted = sort && sort.id === column.id;
  const button = element("button", "sort");
  const arrow = column.better === "higher" ? "\u00a0↑" : column.better === "lower" ? "\u00a0↓" : "";
  button.append(element("span", "title", column.title + arrow));
  if (sorted) button.append(element("span", "sorted", sort.descending ? " ▼" : " ▲"));
  if (column.scope) button.append(element("span", "scope", column.scope));
  if (column.id === "notes") button.disabled = true;
  else button.onclick = () => setTriggerValue("sorted", column.id);
  return button;
}

function heading(column, sort, setTriggerValue) {
  const cell = element("th", column.objective ? "objective" : "");
  cell.scope = "col";
  cell.dataset.column = column.id;
  cell.title = column.meaning;
  const sorted = sort && sort.id === column.id;
  cell.setAttribute("aria-sort", sorted ? (sort.descending ? "descending" : "ascending") : "none");
  cell.append(sorter(column, sort, setTriggerValue));
  return cell;
}

// The columns with their meaning: a phone shows no headings, and a finger or a keyboard cannot point at one.
function legend(data, open, setTriggerValue) {
  const made = element("details", "legend");
  made.open = open;
  made.append(element("summary", "", "What the columns mean, and sorting by them"));
  const list = element("dl");
  for (const column of data.columns) {
    const term = element("dt", column.objective ? "objective" : "");
    Object.assign(term.dataset, { column: column.id, legend: "" });
    term.append(sorter(column, data.sort, setTriggerValue));
    list.append(term, element("dd", "", column.meaning));
  }
  made.append(list);
  return made;
}

function bar(ends) {
  const [low, middle, high] = ends.map((x) => 100 * x);
  const track = element("span", "bar");
  const span = element("i");
  span.style.left = `${low}%`;
  span.style.width = `${Math.max(high - low, 0.5)}%`;
  const dot = element("b");
  dot.style.left = `${middle}%`;
  track.append(span, dot);
  track.setAttribute("aria-hidden", "true");
  return track;
}

function numberCell(cell, column, folds) {
  const made = element("td", cell.text === "–" ? "number missing" : "number");
  if (folds && !column.objective) made.classList.add("more");
  made.dataset.label = column.title;
  made.append(element("span", "estimate", cell.text));
  if (cell.note) {
    made.append(element("span", "flag", "!"));
    made.title = cell.note;
  }
  if (cell.below) made.append(element("span", "interval", cell.below));
  if (cell.bar) made.append(bar(cell.bar));
  if (cell.rank) {
    const rank = element("span", "rank");
    // Breaks, where there is no room, between what it may be and with whom it ties.
    cell.rank.split(/(?<=,) /).forEach((part) => rank.append(element("span", "", part), " "));
    rank.title = cell.ranked;
    made.append(rank);
  }
  return made;
}

// Opens a card's numbers beside the objectives, where rows are cards; a table shows all of them anyway.
function unfolder(row, count, unfolded) {
  const button = element("button", "unfold");
  const tell = () => {
    const open = unfolded.has(row.id);
    button.textContent = open ? "Objectives only" : `${count} more number${count === 1 ? "" : "s"}`;
    button.setAttribute("aria-expanded", String(open));
    button.closest("tr")?.classList.toggle("unfolded", open);
  };
  button.onclick = (event) => {
    event.stopPropagation();
    if (!unfolded.delete(row.id)) unfolded.add(row.id);
    tell();
  };
  tell();
  return button;
}

function bodyRow(row, data, unfolded, setTriggerValue) {
  const made = element("tr", `${row.base ? "base" : ""} ${row.status}`);
  if (unfolded.has(row.id)) made.classList.add("unfolded");
  made.dataset.variant = row.id;
  const name = element("th", "name");
  name.scope = "row";
  const box = element("input", "tick");
  box.type = "checkbox";
  box.checked = data.ticked.includes(row.id);
  box.setAttribute("aria-label", `Compare ${row.name}`);
  box.title = "Tick two to four variants to compare them";
  box.onclick = (event) => event.stopPropagation();
  box.onchange = () => setTriggerValue("ticked", row.id);
  name.append(box);
  const button = element("button", "open", row.name);
  button.title = row.title;
  name.append(button);
  if (row.mark) {
    const mark = element("span", "flag", "! did not deliver");
    mark.title = row.mark;
    name.append(mark);
  }
  name.append(element("span", "recipe", row.base ? "base · " + row.recipe : row.recipe));
  const verdict = element("td", `verdict ${row.verdict.replace(" ", "-")}`);
  verdict.title = row.why;
  verdict.append(element("span", "word", `${row.sign} ${row.verdict}`));
  if (row.share) verdict.append(element("span", "share", row.share));
  made.append(name, verdict);
  const notes = element("td", "notes");
  for (const note of row.notes) {
    const line = element("span", "note", note);
    line.title = note;
    notes.append(line);
  }
  if (row.empty) {
    notes.colSpan = row.cells.length + 1;
  } else {
    const columns = data.columns.slice(2);
    const folds = row.cells.some((cell, i) => columns[i].objective && cell.text !== "–");
    made.append(...row.cells.map((cell, i) => numberCell(cell, columns[i], folds)));
    const more = row.cells.filter((cell, i) => !columns[i].objective && cell.text !== "–").length;
    if (folds && more) verdict.append(unfolder(row, more, unfolded));
  }
  made.append(notes);
  made.onclick = () => {
    if (!String(getSelection())) setTriggerValue("picked", row.id);
  };
  return made;
}

// What has the keyboard in the table: the button of a heading, or the box or the name of a row; null where nothing has.
function focused(root) {
  const active = root.getRootNode().activeElement;
  if (!active || !root.contains(active)) return null;
  const place = active.closest("[data-column], [data-variant]");
  return place && { ...place.dataset, kind: active.className, visible: active.matches(":focus-visible") };
}

// Whoever works without a mouse goes on where they were: in a new table nothing has the keyboard.
function focusAgain(root, held) {
  const same = (each) => ["column", "variant", "legend"].every((name) => each.dataset[name] === held[name]);
  const place = [...root.querySelectorAll("[data-column], [data-variant]")].find(same);
  const found = place && place.getElementsByClassName(held.kind)[0];
  if (found) found.focus({ preventScroll: true, focusVisible: held.visible });
}

const FIRST = 16; // rows: what a window shows; the rest are drawn once these stand there

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".board");
  const wanted = JSON.stringify(data);
  if (root.drawn === wanted) return;
  const left = root.scrollLeft;
  const held = focused(root) ?? root.awaited;
  const table = element("table");
  const head = element("tr");
  head.append(...data.columns.map((column) => heading(column, data.sort, setTriggerValue)));
  const thead = element("thead");
  thead.append(head);
  const tbody = element("tbody");
  root.unfolded ??= new Set();
  const draw = (rows) => tbody.append(...rows.map((row) => bodyRow(row, data, root.unfolded, setTriggerValue)));
  draw(data.rows.slice(0, FIRST));
  table.append(thead, tbody);
  const before = root.querySelector(".legend");
  root.style.minHeight = `${root.offsetHeight}px`; // a shorter page would scroll away from where the reader is
  root.replaceChildren(legend(data, Boolean(before && before.open), setTriggerValue), table);
  root.drawn = wanted;
  root.scrollLeft = left;
  const clamped = root.scrollLeft; // where the first rows are narrower than the rest
  if (held) focusAgain(root, held);
  root.awaited = held; // its row may be among the rest
  const finish = () => {
    if (root.drawn !== wanted) return; // another table is there by now
    draw(data.rows.slice(FIRST));
    root.style.minHeight = "";
    if (root.scrollLeft === clamped) root.scrollLeft = left;
    if (held && !focused(root)) focusAgain(root, held);
    root.awaited = null;
  };
  if (data.rows.length > FIRST) requestAnimationFrame(() => setTimeout(finish));
  else finish();
}
