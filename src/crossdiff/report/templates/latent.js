// One latent as elements: what it is called, its numbers, texts, tokens and twins. Text is only ever set as text.
const INVISIBLE = { "\n": "↵", "\t": "⇥", "\r": "\\r", "\u00a0": "nbsp", "\u200b": "∅", "\ufeff": "∅" };
const NOT_UPHELD = "Called, not upheld: it is further out than the latents of a synthetic pair in which nothing is new, but not clearly further than those of the null tune, another tune of the same base; so it cannot be told from what another tune adds.";

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function visible(text) {
  return [...text].map((letter) => INVISIBLE[letter] ? make("span", { class: "v" }, INVISIBLE[letter]) : letter);
}

// A token on its own: blanks alone would leave nothing to see.
function alone(token) {
  return /^ +$/.test(token) ? [make("span", { class: "v" }, token.length > 1 ? `${token.length} spaces` : "space")] : visible(token);
}

function latentView(row) {
  const run = data.runs[table.run[row]];
  const uses = usedFor(row);
  return [
    aside(row),
    make("h3", {}, make("span", { class: "mono" }, `#${table.latent[row]}`), ` of ${run.name}, seed ${run.seed}`),
    make("p", { class: "tags" }, ...calls(row), table.kind[row] ? tag(`${table.kind[row]} by Δ_norm`, false) : "",
      tag(table.specific[row] ? "chat-specific by ν" : "not chat-specific by ν", table.specific[row]),
      ...uses.map((name) => tag(`used for ${name}`, true)),
      make("a", { href: `#${address(row)}`, class: "tag" }, "link to this latent")),
    ...(calledAs(row).endsWith("not upheld") ? [make("p", { class: "note" }, NOT_UPHELD)] : []),
    ...described(row), ...facts(row, run), make("div", { class: "pair" }, ...histogram(row), ...shares(row)), ...promoted(row), ...examples(row, run), ...twins(row), ...steering(row, run, uses),
  ];
}

function tag(text, chat) {
  return make("span", { class: chat ? "tag chat" : "tag" }, ...symbols(text));
}

// What a latent is called in words; empty if nothing.
function calledAs(row) {
  if (!isCall(row)) return "";
  return `called ${table.call[row]}${{ 0: ", not upheld", 1: ", upheld" }[table.upheld[row]] || ""}`;
}

function calls(row) {
  const { call, upheld, agreed } = Object.fromEntries(["call", "upheld", "agreed"].map((column) => [column, table[column][row]]));
  const text = { none: "not called", undetermined: "undetermined" }[call] || calledAs(row);
  const column = isCall(row) && upheld !== null ? "upheld" : "call";
  return [...(text ? [make("span", { class: call === "chat-specific" ? "tag chat" : "tag" }, sourced(row, column, text))] : []),
    ...(differs(agreed) ? [make("span", { class: "tag" }, sourced(row, "consensus_call", `called ${agreed} in most seeds`))] : [])];
}

function described(row) {
  return data.descriptions[row] ? [make("p", { class: "phrase" }, sourced(row, "description", data.descriptions[row], "descriptions"))] : [];
}

function aside(row) {
  return make("p", { class: "steps" }, ...step(row, -1, "previous"), ...step(row, 1, "next"));
}

function step(row, by, name) {
  const to = neighbour(row, by);
  return to === undefined ? [] : [make("a", { href: `#${address(to)}` }, name)];
}

function promoted(row) {
  const models = Object.entries(data.tokens[row] || {});
  if (!models.length) return [];
  const sides = ["promoted", "suppressed"].flatMap((side) => models.filter(([, found]) => found[side]).map(([model, found]) =>
    make("div", {}, make("h5", {}, `${side} in `, make("b", { class: `of ${model}` }, model)), make("p", { class: "chips", tabindex: "0", "data-src": addressOf(row, "logit", "tokens") },
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
    const nu = other === undefined ? "–" : sourced(other, "nu_activation", valueOf(other, "nu_activation", "number"));
    const files = [data.runs[table.run[row]], data.runs[run]].map(weightsOf).join(" ");
    return make("tr", cosine < data.same ? { class: "unlike" } : {}, make("th", { scope: "row" }, `${name}, seed ${seed}`),
      make("td", {}, label), make("td", {}, make("span", { "data-files": files, tabindex: "0" }, cosine.toFixed(2))), make("td", {}, nu), make("td", { class: "left" }, other === undefined ? "" : calledAs(other).replace("called ", "")));
  });
  return [make("div", { class: "block" }, make("h4", {}, "Its twins in other dictionaries and seeds"),
    make("table", { class: "facts" }, make("thead", {}, make("tr", {}, ...["dictionary", "latent", "cosine", "ν", "call"].map((name) =>
      make("th", { scope: "col", ...(["dictionary", "call"].includes(name) ? { class: "left" } : {}) }, name)))), make("tbody", {}, ...lines)),
    make("p", { class: "note" }, `The latent whose decoder row is nearest in direction. From a cosine of ${data.same} on two count as the same; below, the nearest is another latent, in grey.`))];
}

function steering(row, run, uses) {
  const found = uses.flatMap((name) => (run.samples[name] || []).map((sample) => [name, sample]));
  if (!found.length) return [];
  return [make("div", { class: "block" }, make("h4", {}, "Answers when the latents for a behaviour, this one among them, are edited"),
    make("p", { class: "note" }, "Greedy answers to held-out prompts: the unedited model's; with all the latents edited that this dictionary uses for the behaviour, this one among them; and with as many random latents that are as active. The first prompts of each behaviour, whatever the answers say."),
    ...found.map(([name, sample]) => make("div", { class: "sample" },
      make("h5", { tabindex: "0", "data-files": `evidence/${run.folder}/behaviours.parquet truth/answers.parquet` }, make("b", {}, name), `, latents ${sample.edit}`),
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
