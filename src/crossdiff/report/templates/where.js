// Where a number or a figure is from: told on hover and on focus, with the command that prints its whole chain.
const origin = JSON.parse(document.getElementById("where-data").textContent);
const box = document.getElementById("where");
let asked = null;

function stepOf(file) {
  const record = origin.records[file];
  return record && origin.steps[record] ? [record, origin.steps[record]] : null;
}

function told(name, ...text) {
  return [element("dt", name), element("dd", ...text)];
}

function element(tag, ...text) {
  const made = document.createElement(tag);
  made.append(...text);
  return made;
}

function sourcesOf(pointer) {
  for (let above = pointer; above; above = above.slice(0, above.lastIndexOf("/"))) {
    if (origin.numbers[above]) return origin.numbers[above];
  }
  return [];
}

function steps(files) {
  const found = new Map(files.map(stepOf).filter(Boolean));
  return [...found].map(([record, step]) =>
    element("div", element("code", record), ` · commit ${step.commit || "unknown"}${step.run ? ` · run ${step.run.slice(0, 8)}` : ""}`));
}

function shortened(parts) {
  return parts.length > 5 ? [...parts.slice(0, 5), element("div", `and ${parts.length - 5} more`)] : parts;
}

function answer(target) {
  const { src, files, figure } = target.dataset;
  const from = src ? [src] : files.split(" ");
  const number = from[0].match(/^metrics\.json#(.*)$/);
  const plain = from.map((file) => file.split("#")[0]).filter((file) => file !== "metrics.json");
  const made = src && number ? sourcesOf(number[1]) : plain.map((file) => [file, from[0].split("#")[1] || ""]);
  const lines = made.map(([file, key]) => element("div", element("code", file), key ? ` ${key}` : ""));
  const command = src && number ? `crossdiff explain '${origin.root}/${src}'`
    : `crossdiff show ${origin.root}/${(stepOf(plain[0] || "") || ["report/run.json"])[0]}`;
  return element("dl",
    ...(number && src ? told("number", element("code", src)) : []),
    ...(figure ? told("figure", element("code", `figures/${figure}.vl.json`), ", .svg, .csv") : []),
    ...(target.dataset.hint ? told("value", target.dataset.hint) : []),
    ...(lines.length ? told("made of", ...shortened(lines)) : number ? told("drawn from", element("code", from.join(", "))) : []),
    ...(made.length ? told("by", ...shortened(steps(made.map(([file]) => file)))) : []),
    ...told("chain", element("code", command)));
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
    const target = event.target.closest && event.target.closest("[data-src], [data-files]");
    if (target && target !== asked) ask(target);
  });
  document.addEventListener(stop, (event) => {
    const next = event.relatedTarget;
    if (asked && !(next && (asked.contains(next) || box.contains(next)))) dismiss();
  });
}
document.addEventListener("keydown", (event) => { if (event.key === "Escape") dismiss(); });
