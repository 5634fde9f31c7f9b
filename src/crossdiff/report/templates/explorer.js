// The latent explorer: filters and sorts the table, and keeps the chosen latent in the page's address.
const data = JSON.parse(document.getElementById("latents-data").textContent);
const table = data.table;
const EACH = 40;
const BY = { rank: "place", frequency: "frequency", "ν": "nu_activation", q: "q" };
const FALLING = new Set(["frequency"]);
const form = document.getElementById("find");
const rows = document.getElementById("rows");
const more = document.getElementById("more");
const hidden = document.getElementById("hidden");
const view = document.getElementById("latent");
const state = { by: "rank", up: true, shown: EACH, chosen: null, order: [] };

const address = (row) => {
  const run = data.runs[table.run[row]];
  return `latent=${run.name}/${run.seed}/${table.latent[row]}`;
};
const places = new Map(table.latent.map((_, row) => [address(row), row]));

function usedFor(row) {
  const uses = data.behaviours[table.run[row]];
  return Object.keys(uses).filter((name) => uses[name].includes(table.latent[row]));
}

function matches(row, wanted) {
  const run = data.runs[table.run[row]];
  const nu = table.nu_activation[row];
  return (!wanted.name || run.name === wanted.name)
    && (!wanted.seed || String(run.seed) === wanted.seed)
    && (!wanted.kind || (wanted.kind === "specific" ? table.specific[row]
      : wanted.kind === "called" ? table.call[row] === "chat-specific" : table.kind[row] === wanted.kind))
    && (!wanted.behaviour || usedFor(row).includes(wanted.behaviour))
    && (!wanted.nu || (table.valid[row] && nu !== null && Math.abs(nu) <= Number(wanted.nu)))
    && table.frequency[row] >= Number(wanted.frequency)
    && (!sought.phrase || match(row) !== undefined);
}

function compare(a, b) {
  const column = table[BY[state.by]];
  const [one, other] = [column[a], column[b]];
  if (one === null || other === null) return (one === null) - (other === null);
  return (state.up ? one - other : other - one) || a - b;
}

function refresh() {
  const wanted = Object.fromEntries(new FormData(form));
  sought.phrase = wanted.text.toLowerCase().trim();
  const every = table.latent.map((_, row) => row).filter((row) => matches(row, wanted));
  state.order = every.filter((row) => !wanted.examples || data.examples[row].length > 0).sort(compare);
  const found = document.getElementById("found");
  found.textContent = `${state.order.length.toLocaleString("en")} of ${table.latent.length.toLocaleString("en")} latents`;
  if (wanted.kind === "called" && !table.call.includes("chat-specific")) found.append(". ", found.dataset.none, " ", make("a", { href: "#calls" }, "Calls"), " says why.");
  hidden.hidden = every.length === state.order.length;
  hidden.textContent = `Show ${(every.length - state.order.length).toLocaleString("en")} more without examples`;
  for (const button of document.querySelectorAll("[data-by]")) {
    const here = button.dataset.by === state.by;
    button.parentElement.setAttribute("aria-sort", here ? (state.up ? "ascending" : "descending") : "none");
  }
  list();
  const old = view.querySelector(".steps");
  if (old) old.replaceWith(aside(state.chosen));
}

function list() {
  rows.replaceChildren(...state.order.slice(0, state.shown).map(line));
  more.hidden = state.order.length <= state.shown;
}

function line(row) {
  const run = data.runs[table.run[row]];
  const link = make("a", { href: `#${address(row)}`, class: "mono" }, `#${table.latent[row]}`);
  const numbers = [...document.querySelectorAll("[data-by]")].map((button) => {
    const column = BY[button.dataset.by];
    const value = table[column][row];
    if (column === "place") return make("td", {}, String(value + 1));
    const shaky = column === "nu_activation" && !table.valid[row];
    return make("td", shaky ? { class: "missing", title: "ill-posed: β of the chat stream is not clear of 0" } : {},
      written(value, column === "frequency" ? "percent" : "number"));
  });
  return make("tr", row === state.chosen ? { "aria-current": "true" } : {},
    make("th", { scope: "row" }, link, make("span", { class: "under" }, `${run.name} · ${run.seed}`)),
    make("td", { class: "left peek" }, ...peek(row)), ...numbers);
}

function peek(row) {
  if (sought.phrase) return snippet(row);
  const phrase = data.descriptions[row] ? [make("span", { class: "under phrase" }, data.descriptions[row])] : [];
  const [example] = kept(row);
  if (!example) return phrase.length ? phrase : [make("span", { class: "missing" }, "no examples kept")];
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
  state.shown = Math.max(state.shown, state.order.indexOf(row) + 1);
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

// Shows the latent of the address, or says that it is not here; false if the address names none.
function follow(move) {
  const row = addressed();
  if (row !== undefined) show(row, move);
  else if (fragment().startsWith("latent=")) absent(fragment().slice("latent=".length));
  else return false;
  return true;
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
  refresh();
  if (event.target.name === "text" && state.chosen !== null) show(state.chosen, false);
});
hidden.addEventListener("click", () => {
  form.elements.examples.checked = false;
  refresh();
  form.elements.examples.focus();
});
form.addEventListener("submit", (event) => event.preventDefault());
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
for (const button of document.querySelectorAll("[data-by]")) {
  button.addEventListener("click", () => {
    const by = button.dataset.by;
    state.up = state.by === by ? !state.up : !FALLING.has(by);
    state.by = by;
    refresh();
  });
}
refresh();
if (!follow(true) && state.order.length) show(state.order[0], false);
