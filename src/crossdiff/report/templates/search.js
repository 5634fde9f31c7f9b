// The search for an exact phrase, whatever its case: where it stands in what is kept of a latent, and how that is shown.
const AROUND = 40; // characters of a snippet, to either side
const sought = { phrase: "", texts: new Map() };

// All that a search looks into, as [what it is, text].
function words(row) {
  if (!sought.texts.has(row)) {
    const run = data.runs[table.run[row]];
    const tokens = Object.values(data.tokens[row] || {}).flatMap((sides) => Object.entries(sides).flatMap(([side, found]) => found.map(([token]) => [`${side} tokens`, token])));
    const read = kept(row).map((example) => ["texts", example.tokens.map((token) => data.words[token]).join("")]);
    sought.texts.set(row, [["number", `#${table.latent[row]} ${run.name}`], ["phrase", data.descriptions[row] || ""], ["call", calledAs(row)],
      ...usedFor(row).map((name) => ["behaviours", name]), ...read, ...tokens]);
  }
  return sought.texts.get(row);
}

// Where the phrase stands first in what is kept of a latent: [what it is, text, place]; undefined if nowhere.
function match(row) {
  for (const [kind, text] of words(row)) {
    const at = text.toLowerCase().indexOf(sought.phrase);
    if (at >= 0) return [kind, text, at];
  }
  return undefined;
}

// What the phrase matched, with the words around it.
function snippet(row) {
  const [kind, text, at] = match(row);
  const end = at + sought.phrase.length;
  const [first, last] = [Math.max(0, at - AROUND), end + AROUND];
  return [make("span", { class: "under" }, `found in its ${kind}`), first ? "…" : "", ...visible(text.slice(first, at)),
    make("mark", {}, ...visible(text.slice(at, end))), ...visible(text.slice(end, last)), last < text.length ? "…" : ""];
}

// Places of the tokens that hold the phrase that was searched for.
function marked(tokens) {
  const found = new Set();
  const texts = tokens.map((token) => data.words[token].toLowerCase());
  const at = sought.phrase ? texts.join("").indexOf(sought.phrase) : -1;
  let start = 0;
  texts.forEach((text, place) => {
    if (at >= 0 && start < at + sought.phrase.length && start + text.length > at) found.add(place);
    start += text.length;
  });
  return found;
}
