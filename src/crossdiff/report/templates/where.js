// Where a number or a figure is from: told on hover and on focus, with the command that prints its whole chain.
const origin = JSON.parse(document.getElementById("where-data").textContent);
const box = document.getElementById("where");
const LINES = 14;
const REPORT = "report/run.json";
let asked = null;

function told(name, ...text) {
  return [element("dt", name), element("dd", ...text)];
}

function element(tag, ...text) {
  const made = document.createElement(tag);
  made.append(...text);
  return made;
}

// Of a number the nearest note above it; of a part of metrics.json all notes inside it.
function noted(pointer) {
  for (let above = pointer; above; above = above.slice(0, above.lastIndexOf("/"))) {
    if (origin.numbers[above]) return origin.numbers[above];
  }
  const inside = Object.keys(origin.numbers).filter((key) => key.startsWith(`${pointer}/`)).flatMap((key) => origin.numbers[key]);
  return [...new Map(inside.map((source) => [source.join("#"), source])).values()];
}

// [file, key] of all that a figure, a number of metrics.json, or what stands in other files is made of.
function sourcesOf({ figure, src, files }) {
  if (figure) return origin.figures[figure] || [];
  if (files) return files.split(" ").map((file) => [file, ""]);
  const [file, key] = src.split("#");
  const drawn = file.match(/^report\/figures\/(.*)\.vl\.json$/);
  if (drawn) return origin.figures[drawn[1]] || [];
  return file === "metrics.json" ? noted(key) : [[file, key]];
}

function stepLine(record) {
  const step = origin.steps[record];
  return element("div", element("code", record), step ? ` · commit ${step.commit}${step.run ? ` · run ${step.run.slice(0, 8)}` : ""}` : "");
}

function shortened(lines) {
  return lines.length > LINES ? [...lines.slice(0, LINES), element("div", `and ${lines.length - LINES} more, all in the chain`)] : lines;
}

function answer(target) {
  const { src, figure, files, hint } = target.dataset;
  const made = sourcesOf(target.dataset);
  const records = [...new Set(made.map(([file]) => origin.records[file]).filter(Boolean))];
  const shown = src && !target.matches(".source") ? (target.querySelector("b") || target).textContent : "";
  const place = src || (files ? made[0][0] : `report/figures/${figure}.vl.json`);
  return element("dl",
    ...(src ? told("number", element("code", src)) : files ? [] : told("figure", element("code", `figures/${figure}.vl.json`), ", .svg, .csv")),
    ...(shown ? told("value", hint ? `${shown} · ${hint}` : shown) : []),
    ...told("made of", ...shortened(made.map(([file, key]) => element("div", element("code", file), key ? ` ${key}` : "")))),
    ...told("by", ...shortened(records.map(stepLine))),
    ...(records.includes(REPORT) ? [] : told("page by", stepLine(REPORT))),
    ...told("chain", element("code", `crossdiff explain '${origin.root}/${place}'`), " in the study's folder"));
}

function ask(target) {
  asked = target;
  box.replaceChildren(answer(target));
  box.hidden = false;
  target.setAttribute("aria-describedby", "where");
  const place = target.getBoundingClientRect();
  const room = document.documentElement;
  const below = place.bottom + box.offsetHeight + 12 < room.clientHeight;
  box.style.top = `${scrollY + (below ? place.bottom + 6 : Math.max(0, place.top - box.offsetHeight - 6))}px`;
  box.style.left = `${Math.max(8, Math.min(place.left, room.clientWidth - box.offsetWidth - 8))}px`;
}

function dismiss() {
  if (asked) asked.removeAttribute("aria-describedby");
  asked = null;
  box.hidden = true;
}

for (const [start, stop] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
  document.addEventListener(start, (event) => {
    const target = event.target.closest && event.target.closest("[data-src], [data-files], [data-figure]");
    if (target && target !== asked) ask(target);
  });
  document.addEventListener(stop, (event) => {
    const next = event.relatedTarget;
    if (asked && !(next && (asked.contains(next) || box.contains(next)))) dismiss();
  });
}
document.addEventListener("keydown", (event) => { if (event.key === "Escape") dismiss(); });
