// One latent: its numbers, texts, tokens and twins as elements. Text is only ever set as text.
const INVISIBLE = { "\n": "↵", "\t": "⇥", "\r": "\\r", "\u00a0": "nbsp", "\u200b": "∅", "\ufeff": "∅" };
const ROLES = ["bos", "template", "user", "assistant", "text"];
const FACTS = [
  ["delta_norm", "Δ_norm", "number"], ["nu_reconstruction", "ν_r", "number"], ["nu_error", "ν_ε", "number"],
  ["nu_activation", "ν", "number"], ["q", "q of the call", "number"],
  ["reappears", "matched one to one, share of other seeds", "percent"], ["cosine", "cosine of decoder rows", "number"],
  ["norm_base", "norm, base row", "number"], ["norm_chat", "norm, chat row", "number"],
  ["frequency", "active on", "percent"], ["max", "largest activation", "number"], ["mean", "mean where active", "number"],
];
const CALLED = { q: "q_chat_specific", reappears: "reappears" };

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

// A token on its own: blanks alone would leave nothing to see.
function alone(token) {
  return /^ +$/.test(token) ? [make("span", { class: "v" }, token.length > 1 ? `${token.length} spaces` : "space")] : visible(token);
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
    aside(row),
    make("h3", {}, make("span", { class: "mono" }, `#${table.latent[row]}`), ` of ${run.name}, seed ${run.seed}`),
    make("p", { class: "tags" }, ...tags.map((tag) => make("span", { class: tag.startsWith("chat") ? "tag chat" : "tag" }, tag)),
      ...uses.map((name) => make("span", { class: "tag chat" }, `used for ${name}`)),
      make("a", { href: `#${address(row)}`, class: "tag" }, "link to this latent")),
    ...described(row, run), facts(row, run), make("div", { class: "pair" }, ...histogram(row), ...shares(row)), ...promoted(row), ...examples(row, run), ...twins(row), ...steering(row, run, uses),
  ];
}

function described(row, run) {
  if (!data.descriptions[row]) return [];
  const where = `latents/${run.folder}.descriptions.parquet#latent=${table.latent[row]}&column=description`;
  return [make("p", { class: "phrase" }, make("span", { "data-src": where, tabindex: "0" }, data.descriptions[row]))];
}

function aside(row) {
  return make("p", { class: "steps" }, ...step(row, -1, "previous"), ...step(row, 1, "next"));
}

function step(row, by, name) {
  const to = neighbour(row, by);
  return to === undefined ? [] : [make("a", { href: `#${address(to)}` }, name)];
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
  }), ...alike(row, run));
}

// A one-to-one match needs both latents to be each other's nearest; of many alike, a latent may have none.
function alike(row, run) {
  const others = data.runs.filter((other) => other.name === run.name && other.seed !== run.seed).length;
  if (!others || !data.twins[row].length) return [];
  const near = data.twins[row].filter(([other, , cosine]) => data.runs[other].name === run.name && cosine >= data.same).length;
  return [make("div", {}, make("dt", {}, `a like direction (cosine from ${data.same})`), make("dd", {}, `in ${near} of ${others} other seeds`))];
}

function shares(row) {
  const parts = ROLES.map((role) => [role, table[`${role}_share`] ? table[`${role}_share`][row] : null]).filter(([, share]) => share !== null);
  if (!parts.length) return [];
  const lines = parts.map(([role, share]) => make("tr", {}, make("th", { scope: "row" }, role),
    make("td", {}, written(share, "percent")),
    make("td", { class: "share" }, make("i", { style: `width:${(100 * share).toFixed(1)}%` }))));
  return [make("div", { class: "block" }, make("h4", {}, "On which tokens"),
    make("table", { class: "shares" }, make("tbody", {}, ...lines)),
    make("p", { class: "note" }, "Share of its active tokens in each role."))];
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
  const sides = ["promoted", "suppressed"].flatMap((side) => models.filter(([, found]) => found[side]).map(([model, found]) =>
    make("div", {}, make("h5", {}, `${side} in `, make("b", { class: `of ${model}` }, model)), make("p", { class: "chips" },
      ...found[side].map(([token, logit]) => make("span", { class: "chip" }, ...alone(token), make("small", {}, signed(logit))))))));
  const whose = data.runs[table.run[row]].twoSided ? "each model's decoder row with that model's unembedding"
    : "its decoder row with each model's unembedding";
  return [make("div", { class: "block" }, make("h4", {}, "Tokens it promotes and suppresses"),
    make("div", { class: "sides" }, ...sides),
    make("p", { class: "note" }, `By the product of ${whose}, centred over the vocabulary; what the blocks in between do is left out.`))];
}

function signed(value) {
  return (value > 0 ? "+" : "") + written(value, "number");
}

function twins(row) {
  const found = data.twins[row];
  if (!found.length) return [];
  const lines = found.map(([run, latent, cosine]) => {
    const { name, seed } = data.runs[run];
    const to = `latent=${name}/${seed}/${latent}`;
    const other = places.get(to);
    const label = other === undefined ? make("span", { class: "mono" }, `#${latent}`) : make("a", { href: `#${to}`, class: "mono" }, `#${latent}`);
    const nu = other === undefined ? "–" : written(table.nu_activation[other], "number");
    return make("tr", cosine < data.same ? { class: "unlike" } : {}, make("th", { scope: "row" }, `${name}, seed ${seed}`),
      make("td", {}, label), make("td", {}, cosine.toFixed(2)), make("td", {}, nu));
  });
  return [make("div", { class: "block" }, make("h4", {}, "Its twins in other dictionaries and seeds"),
    make("table", { class: "facts" }, make("thead", {}, make("tr", {}, ...["dictionary", "latent", "cosine", "ν"].map((name, place) =>
      make("th", { scope: "col", ...(place ? {} : { class: "left" }) }, name)))), make("tbody", {}, ...lines)),
    make("p", { class: "note" }, `The latent whose decoder row is nearest in direction. From a cosine of ${data.same} on two count as the same; below, the nearest is another latent, in grey.`))];
}

function steering(row, run, uses) {
  const found = uses.flatMap((name) => (run.samples[name] || []).map((sample) => [name, sample]));
  if (!found.length) return [];
  return [make("div", { class: "block" }, make("h4", {}, "Answers when it is edited"),
    make("p", { class: "note" }, "Greedy answers to held-out prompts: the unedited model's; with all the latents edited that this dictionary uses for the behaviour, this one among them; and with as many random latents that are as active. The first prompts of each behaviour, whatever the answers say."),
    ...found.map(([name, sample]) => make("div", { class: "sample" },
      make("h5", {}, make("b", {}, name), `, latents ${sample.edit}`),
      make("p", { class: "prompt" }, sample.prompt),
      make("dl", { class: "answers" }, ...replied("unedited", sample.before), ...replied("edited", sample.after),
        ...replied("random latents edited", sample.random)))))];
}

function replied(title, told) {
  if (!told) return [];
  const [text, present] = told;
  const shows = present === null ? "" : present ? "shows the behaviour" : "does not show it";
  return [make("div", present ? { class: "shows" } : {}, make("dt", {}, title, make("small", {}, shows)),
    make("dd", { class: "answer" }, text || make("span", { class: "missing" }, "(nothing)")))];
}
