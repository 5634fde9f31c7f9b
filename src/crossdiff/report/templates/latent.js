// One latent: its numbers, texts, tokens and twins as elements. Text is only ever set as text.
const INVISIBLE = { "\n": "↵", "\t": "⇥", "\r": "␍", "\u00a0": "⍽", "\u200b": "∅", "\ufeff": "∅" };
const ROLES = ["bos", "template", "user", "assistant", "text"];
const SHADES = { levels: "the latent's activation", base: "had both models the base's stream", chat: "had both the chat's" };
const FACTS = [
  ["delta_norm", "Δ_norm", "number"], ["nu_reconstruction", "ν_r", "number"], ["nu_error", "ν_ε", "number"],
  ["nu_activation", "ν", "number"], ["q", "q of the call", "number"],
  ["reappears", "comes back in other seeds", "percent"], ["cosine", "cosine of decoder rows", "number"],
  ["norm_base", "norm, base row", "number"], ["norm_chat", "norm, chat row", "number"],
  ["frequency", "active on", "percent"], ["max", "largest activation", "number"], ["mean", "mean where active", "number"],
];
const CALLED = { q: "q_chat_specific", reappears: "reappears" };
let shade = "levels";

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function written(value, style) {
  if (value === null || value === undefined) return "–";
  const scaled = style === "percent" ? 100 * value : value;
  const size = Math.abs(scaled);
  const digits = style === "percent" ? 1 : 2;
  const decimals = size === 0 || size >= 100 ? 0 : Math.min(3, Math.max(0, digits - Math.floor(Math.log10(size))));
  return scaled.toFixed(decimals).replace(/^-(?=[0.]*$)/, "").replace("-", "−") + (style === "percent" ? " %" : "");
}

function visible(text) {
  return [...text].map((letter) => INVISIBLE[letter] ? make("span", { class: "v" }, INVISIBLE[letter]) : letter);
}

function symbol(name) {
  const [whole, part] = name.split("_");
  return part ? [whole, make("sub", {}, part)] : [whole];
}

function latentView(row) {
  const run = data.runs[table.run[row]];
  const call = table.call[row] && !["none", "dead"].includes(table.call[row]) ? `called ${table.call[row]}` : null;
  const tags = [table.kind[row], call, table.specific[row] ? "chat-specific by ν" : "not chat-specific by ν"].filter(Boolean);
  const uses = usedFor(row);
  return [
    make("h3", {}, make("span", { class: "mono" }, `#${table.latent[row]}`), ` of ${run.name}, seed ${run.seed}`),
    make("p", { class: "tags" }, ...tags.map((tag) => make("span", { class: tag.startsWith("chat") ? "tag chat" : "tag" }, tag)),
      ...uses.map((name) => make("span", { class: "tag chat" }, `used for ${name}`)),
      make("a", { href: `#${address(row)}`, class: "tag" }, "link to this latent")),
    ...described(row, run), facts(row, run), shares(row), ...histogram(row), ...promoted(row), ...examples(row), ...twins(row), ...steering(row, run, uses),
  ];
}

function described(row, run) {
  if (!data.descriptions[row]) return [];
  const where = `latents/${run.folder}.descriptions.parquet#latent=${table.latent[row]}&column=description`;
  return [make("p", { class: "phrase" }, make("span", { "data-src": where, tabindex: "0" }, data.descriptions[row]))];
}

function facts(row, run) {
  const found = FACTS.filter(([column]) => table[column] && table[column][row] !== null);
  const sources = Object.keys(table).filter((column) => column.startsWith("frequency_") && table[column][row] !== null)
    .map((column) => [column, `on ${column.slice("frequency_".length)} tokens`, "percent"]);
  return make("dl", { class: "numbers" }, ...[...found, ...sources].map(([column, name, style]) => {
    const where = CALLED[column]
      ? `calls/${run.name}.parquet#seed=${run.seed}&latent=${table.latent[row]}&column=${CALLED[column]}`
      : `latents/${run.folder}.parquet#latent=${table.latent[row]}&column=${column}`;
    let text = written(table[column][row], style);
    if (column === "nu_activation") {
      text += table.valid[row] ? "" : " (ill-posed)";
      const error = table.nu_activation_se && table.nu_activation_se[row];
      if (error && table.valid[row]) text += ` ± ${written(error, style)}`;
    }
    return make("div", {}, make("dt", {}, ...symbol(name)), make("dd", {}, make("span", { "data-src": where, tabindex: "0" }, text)));
  }));
}

function shares(row) {
  const parts = ROLES.map((role) => [role, table[`${role}_share`] ? table[`${role}_share`][row] : null]).filter(([, share]) => share);
  if (!parts.length) return make("span", {});
  const words = parts.map(([role, share]) => `${role} ${written(share, "percent")}`).join(", ");
  return make("div", { class: "block" }, make("h4", {}, "On which tokens"),
    make("div", { class: "bar", role: "img", "aria-label": words },
      ...parts.map(([role, share]) => make("i", { class: role, style: `flex:${share}` }))),
    make("p", { class: "note" }, words));
}

function histogram(row) {
  const counts = table.histogram && table.histogram[row];
  if (!counts || !Math.max(...counts)) return [];
  const first = counts.findIndex((count) => count > 0);
  const last = counts.length - [...counts].reverse().findIndex((count) => count > 0);
  const shown = counts.slice(first, last);
  const most = Math.log1p(Math.max(...shown));
  const edge = (bin) => written(2 ** (bin + data.lowest), "number");
  const ends = `${first ? edge(first) : "0"} to ${last < counts.length ? edge(last) : "the largest"}`;
  return [make("div", { class: "block" }, make("h4", {}, "How strongly"),
    make("div", { class: "bins", role: "img", "aria-label": `active tokens by activation, ${ends}: ${shown.join(", ")}` },
      ...shown.map((count, bin) => make("i", { style: `height:${100 * Math.log1p(count) / most}%`, title: `from ${edge(first + bin)}: ${count} tokens` }))),
    make("p", { class: "note" }, `Active tokens by activation, ${ends}, each bar twice as strong as the one before; heights are logarithmic.`))];
}

function promoted(row) {
  const models = Object.entries(data.tokens[row]);
  if (!models.length) return [];
  const sides = models.flatMap(([model, found]) => Object.entries(found).map(([side, tokens]) =>
    make("div", {}, make("h5", {}, `${model}, ${side}`), make("p", { class: "chips" },
      ...tokens.map(([token, logit]) => make("span", { class: "chip", title: `logit ${logit}` }, ...visible(token)))))));
  return [make("div", { class: "block" }, make("h4", {}, "Tokens it promotes and suppresses"),
    make("div", { class: "sides" }, ...sides),
    make("p", { class: "note" }, "By the product of its decoder row with the model's unembedding; what blocks in between do is left out."))];
}

function examples(row) {
  const found = data.examples[row];
  if (!found.length) return [make("p", { class: "note" }, "No examples were kept of this latent.")];
  const box = make("div", {}, ...found.map((example) => text(example)));
  const choices = found[0].others ? [make("fieldset", { class: "shade" }, make("legend", {}, "shade by"),
    ...Object.entries(SHADES).map(([key, name]) => {
      const input = make("input", { type: "radio", name: "shade", value: key });
      input.checked = key === shade;
      input.addEventListener("change", () => { shade = key; box.replaceChildren(...found.map((example) => text(example))); });
      return make("label", {}, input, ` ${name}`);
    }))] : [];
  return [make("div", { class: "block" }, make("h4", {}, "Most active on"), ...choices, box,
    make("p", { class: "note" }, "Shaded by strength; underlined: template tokens; struck: masked for their norm."))];
}

function text(example) {
  const letters = example.others && shade !== "levels" ? example.others[shade === "base" ? 0 : 1] : example.levels;
  const tokens = example.tokens.map((token, place) => {
    const role = ROLES[example.roles[place]] || "";
    const level = data.letters.indexOf(letters[place]) / data.levels;
    const kinds = ["k", ...(role === "template" || role === "bos" ? ["t"] : []), ...(level < 0 ? ["x"] : [])];
    const hint = level < 0 ? `${role} · masked for its norm` : `${role} · ${Math.round(100 * level)} % of the highest`;
    return make("span", { class: kinds.join(" "), title: hint, ...(level > 0 ? { style: `--a:${level.toFixed(2)}` } : {}) },
      ...visible(data.words[token]));
  });
  const parts = example.atTop ? ` · on the base's stream alone ${written(example.atTop[0], "number")}, the chat's ${written(example.atTop[1], "number")}` : "";
  return make("p", { class: "example" },
    make("small", {}, `${example.from}, row ${example.row} · activation ${written(example.peak, "number")}${parts}`),
    example.first ? "…" : "", ...tokens, example.more ? "…" : "");
}

function twins(row) {
  const found = data.twins[row];
  if (!found.length) return [];
  const lines = found.map(([run, latent, cosine]) => {
    const { name, seed } = data.runs[run];
    const to = `latent=${name}/${seed}/${latent}`;
    const label = places.has(to) ? make("a", { href: `#${to}`, class: "mono" }, `#${latent}`) : make("span", { class: "mono" }, `#${latent}`);
    return make("tr", {}, make("th", { scope: "row" }, `${name}, seed ${seed}`), make("td", {}, label), make("td", {}, cosine.toFixed(2)));
  });
  return [make("div", { class: "block" }, make("h4", {}, "Its twin in each other dictionary"),
    make("table", { class: "facts" }, make("thead", {}, make("tr", {}, make("th", { class: "left" }, "dictionary"), make("th", {}, "latent"), make("th", {}, "cosine"))),
      make("tbody", {}, ...lines)),
    make("p", { class: "note" }, "The latent whose decoder row is nearest in direction. Below about 0.5 it is hardly the same latent."))];
}

function steering(row, run, uses) {
  const found = uses.flatMap((name) => (run.samples[name] || []).map((sample) => [name, sample]));
  if (!found.length) return [];
  return [make("div", { class: "block" }, make("h4", {}, "Answers when it is edited"),
    make("p", { class: "note" }, "With the other latents that this dictionary uses for the behaviour."),
    ...found.map(([name, sample]) => make("div", { class: "sample" },
      make("p", { class: "tag" }, `${name}, ${sample.edit}: ${sample.prompt}`),
      make("p", { class: "answer" }, make("b", {}, "before "), sample.before),
      make("p", { class: "answer" }, make("b", {}, "after "), sample.after)))
  )];
}
