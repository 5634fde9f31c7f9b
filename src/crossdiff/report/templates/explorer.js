// The latent explorer: filters and sorts the table, and keeps the chosen latent in the page's address.
const data = await unpacked("latents-data");
const table = data.table;
const EACH = 40;
const ORDERS = {
  "calls first": ["turn"], rank: ["place", "rank"], "ν": ["nu_activation", "number"], q: ["q", "number"],
  frequency: ["frequency", "percent"], seeds: ["reappears", "seeds"], "largest activation": ["max", "number"],
  "Δ_norm": ["delta_norm", "number"], "cosine of decoder rows": ["cosine", "number"],
};
const FALLING = new Set(["frequency", "seeds", "largest activation", "Δ_norm"]);
const form = document.getElementById("find");
const rows = document.getElementById("rows");
const more = document.getElementById("more");
const hidden = document.getElementById("hidden");
const view = document.getElementById("latent");
const extra = document.getElementById("sorted");
const heads = [...document.querySelectorAll("[data-by]")];
const state = { by: "calls first", up: true, shown: EACH, chosen: null, order: [] };

const address = (row) => {
  const run = data.runs[table.run[row]];
  return `latent=${run.name}/${run.seed}/${table.latent[row]}`;
};
const places = new Map(table.latent.map((_, row) => [address(row), row]));

function usedFor(row) {
  const uses = data.behaviours[table.run[row]];
  return Object.keys(uses).filter((name) => uses[name].includes(table.latent[row]));
}

// Of some latents no texts were kept ([]), of others they are left out here (null).
function illustrated(row) {
  return data.examples[row] !== null && data.examples[row].length > 0;
}

// Every call has a name of its own, which no class by Δ_norm has.
function isKind(row, kind) {
  if (kind === "called") return isCall(row);
  return kind === "specific" ? table.specific[row] : table.call[row] === kind || table.kind[row] === kind;
}

function atMost(value, limit) {
  return !limit || (value !== null && value <= Number(limit));
}

function matches(row, wanted) {
  const run = data.runs[table.run[row]];
  const nu = table.valid[row] && table.nu_activation[row] !== null ? Math.abs(table.nu_activation[row]) : null;
  return (!wanted.name || run.name === wanted.name)
    && (!wanted.seed || String(run.seed) === wanted.seed)
    && (!wanted.kind || isKind(row, wanted.kind))
    && (!wanted.behaviour || usedFor(row).includes(wanted.behaviour))
    && atMost(nu, wanted.nu) && (!wanted.q || atMost(table.q[row], wanted.q))
    && table.frequency[row] >= Number(wanted.frequency)
    && (!Number(wanted.others) || Math.round(table.reappears[row] * others(run)) >= Number(wanted.others))
    && (!wanted.upheld || table.upheld[row]) && (!wanted.agreed || differs(table.agreed[row]))
    && (!sought.phrase || match(row) !== undefined);
}

function compare(a, b) {
  const column = table[ORDERS[state.by][0]];
  const [one, other] = [column[a], column[b]];
  if (one === null || other === null) return (one === null) - (other === null) || table.turn[a] - table.turn[b];
  return (state.up ? one - other : other - one) || table.turn[a] - table.turn[b];
}

function sortBy(by, up) {
  [state.by, state.up] = [by, up];
  form.elements.by.value = by;
}

function refresh() {
  const wanted = Object.fromEntries(new FormData(form));
  sought.phrase = wanted.text.toLowerCase().trim();
  const every = table.latent.map((_, row) => row).filter((row) => matches(row, wanted));
  state.order = every.filter((row) => !wanted.examples || illustrated(row)).sort(compare);
  const found = document.getElementById("found");
  found.textContent = `${state.order.length.toLocaleString("en")} of ${table.latent.length.toLocaleString("en")} latents${uncertain()}`;
  if (wanted.kind === "called" && !table.call.some(differs)) found.append(". ", found.dataset.none, " ", make("a", { href: "#calls" }, "Calls"), " says why.");
  hidden.hidden = every.length === state.order.length;
  hidden.textContent = `Show ${(every.length - state.order.length).toLocaleString("en")} more without examples`;
  for (const button of heads) sortedBy(button.parentElement, button.dataset.by === state.by);
  // A column of what the list is sorted by, where it has none.
  extra.hidden = heads.some((button) => button.dataset.by === state.by) || !ORDERS[state.by][1];
  extra.textContent = extra.hidden ? "" : state.by;
  sortedBy(extra, !extra.hidden);
  list();
  const old = view.querySelector(".steps");
  if (old) old.replaceWith(aside(state.chosen));
}

function sortedBy(head, here) {
  head.setAttribute("aria-sort", here ? (state.up ? "ascending" : "descending") : "none");
}

// How many of the latents listed are called, and how many of those are upheld.
function uncertain() {
  const called = state.order.filter(isCall);
  const upheld = called.filter((row) => table.upheld[row]).length;
  const known = called.some((row) => table.upheld[row] !== null);
  return called.length ? `, ${called.length.toLocaleString("en")} called${known ? `, ${upheld.toLocaleString("en")} of them upheld` : ""}` : "";
}

function list() {
  // A chosen latent far down stands on top of the list: thousands of rows above it would take seconds to draw.
  const far = state.order.indexOf(state.chosen) >= state.shown ? [state.chosen] : [];
  rows.replaceChildren(...[...far, ...state.order.slice(0, state.shown)].map(line));
  more.hidden = state.order.length <= state.shown;
}

function line(row) {
  const run = data.runs[table.run[row]];
  const link = make("a", { href: `#${address(row)}`, class: "mono" }, `#${table.latent[row]}`);
  const columns = [...heads.map((button) => button.dataset.by), ...(extra.hidden ? [] : [state.by])];
  const numbers = columns.map((name) => {
    const [column, style] = ORDERS[name];
    const shaky = column === "nu_activation" && !table.valid[row];
    return make("td", { "data-src": addressOf(row, column), ...(shaky ? { class: "missing", title: "ill-posed: β of the chat stream is not clear of 0" } : {}) },
      valueOf(row, column, style));
  });
  return make("tr", row === state.chosen ? { "aria-current": "true" } : {},
    make("th", { scope: "row" }, link, make("span", { class: "under" }, `${run.name} · ${run.seed}`)),
    make("td", { class: "left peek" }, ...peek(row), make("span", { class: "under" }, calledAs(row))), ...numbers);
}

function peek(row) {
  if (sought.phrase) return snippet(row);
  const phrase = data.descriptions[row] ? [make("span", { class: "under phrase" }, data.descriptions[row])] : [];
  const [example] = kept(row);
  if (!example) return phrase.length ? phrase : [make("span", { class: "missing" }, "no texts here")];
  const near = example.tokens.map((token, place) => [place, data.words[token]])
    .filter(([place]) => Math.abs(place - example.at) <= 5);
  return [...near.map(([place, text]) => make(place === example.at ? "b" : "span", {}, ...visible(text))), ...phrase];
}

function neighbour(row, by) {
  const at = state.order.indexOf(row);
  return at < 0 && by < 0 ? undefined : state.order[at + by];
}

function show(row, move) {
  state.chosen = row;
  const at = state.order.indexOf(row);
  if (at < state.shown + EACH) state.shown = Math.max(state.shown, at + 1);
  view.replaceChildren(...latentView(row));
  list();
  if (move) {
    const line = rows.querySelector("[aria-current]");
    if (line) line.scrollIntoView({ block: "nearest" });
    view.scrollIntoView({ block: "start" });
    view.focus({ preventScroll: true });
  }
}

function fragment() {
  try { return decodeURIComponent(location.hash.slice(1)); } catch { return location.hash.slice(1); }
}

function addressed() {
  return places.get(fragment());
}

// Shows the latent of the address, or says that it is not here, or filters as #find?… asks; false if it does neither.
function follow(move) {
  const row = addressed();
  const [what, asked_] = fragment().split("?");
  if (row !== undefined) show(row, move);
  else if (fragment().startsWith("latent=")) absent(fragment().slice("latent=".length));
  else if (what === "find" && asked_ !== undefined) filter(new URLSearchParams(asked_));
  else return false;
  return true;
}

function filter(wanted) {
  form.reset();
  for (const [name, value] of wanted) {
    const field = form.elements[name];
    if (field && field.type === "checkbox") field.checked = true;
    else if (field) field.value = value;
  }
  sortBy("calls first", true);
  refresh();
  if (state.order.length) show(state.order[0], false);
  form.scrollIntoView({ block: "start" });
  form.elements.text.focus({ preventScroll: true });
}

function absent(name) {
  const parts = name.split("/");
  const number = data.runs.findIndex((run) => run.name === parts[0] && String(run.seed) === parts[1]);
  const run = data.runs[number];
  const known = run && /^\d+$/.test(parts[2]) && Number(parts[2]) < run.latents;
  const count = table.run.filter((other) => other === number).length;
  state.chosen = null;
  view.replaceChildren(make("h3", {}, "No such latent here"), make("p", { role: "alert" }, ...(known
    ? [`The page keeps ${count.toLocaleString("en")} of the ${run.latents.toLocaleString("en")} latents of ${run.name}, seed ${run.seed}, and #${parts[2]} is not among them. Its numbers are in `, make("code", {}, `latents/${run.folder}.parquet`), "."]
    : [`This report has no latent “${name}”. A latent's address is dictionary/seed/number; choose one from the list.`])));
  list();
  view.scrollIntoView({ block: "start" });
  view.focus({ preventScroll: true });
}

form.addEventListener("input", (event) => {
  state.shown = EACH;
  if (event.target.name === "by") sortBy(event.target.value, !FALLING.has(event.target.value));
  refresh();
  if (event.target.name === "text" && state.chosen !== null) show(state.chosen, false);
});
hidden.addEventListener("click", () => {
  form.elements.examples.checked = false;
  refresh();
  form.elements.examples.focus();
});
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(() => {
  state.shown = EACH;
  sortBy("calls first", true);
  refresh();
}));
// The whole row opens its latent, but a selection of its text or a link in it is left alone.
rows.addEventListener("click", (event) => {
  const link = event.target.closest("tr").querySelector("a");
  if (!event.target.closest("a") && !String(getSelection())) location.hash = link.hash;
});
more.addEventListener("click", () => { state.shown += EACH; list(); });
addEventListener("hashchange", () => follow(true));
// Keys act only while the focus is inside, so that none is taken from the rest of the page or from a field.
rows.addEventListener("keydown", (event) => {
  const by = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  const beside = by && event.target.closest("tr")[by];
  if (!by) return;
  event.preventDefault();
  if (beside) beside.querySelector("a").focus();
});
document.querySelector(".explorer").addEventListener("keydown", (event) => {
  const by = { j: 1, k: -1 }[event.key];
  if (!by || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input")) return;
  // Shown at once: hashchange comes later than a quick second key, which would then start from the same latent again.
  const to = neighbour(addressed() ?? state.chosen, by);
  if (to === undefined) return;
  history.replaceState(null, "", `#${address(to)}`);
  show(to, true);
});
for (const button of heads) {
  button.addEventListener("click", () => {
    const by = button.dataset.by;
    sortBy(by, state.by === by ? !state.up : !FALLING.has(by));
    refresh();
  });
}
for (const [name, [column]] of Object.entries(ORDERS)) {
  if (table[column] && table[column].some((value) => value !== null)) form.elements.by.append(make("option", {}, name));
}
sortBy(state.by, state.up);
refresh();
document.querySelector(".explorer").removeAttribute("aria-busy");
if (!follow(true) && state.order.length) show(state.order[0], false);
