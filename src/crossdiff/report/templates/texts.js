// A latent's texts, from the strongest bin of its activity to the weakest: the activity, or what each model's stream gives.
const SHADES = { levels: "the latent's activation", models: "each model's stream" };
const READ = {
  crosscoder: ["what it would be had both halves of the crosscoder read the base's stream, or both the chat's; in brackets what each half adds to the peak.",
    "Base and chat lines: the codes f(h_b, h_b) and f(h_c, h_c). Its own code f(h_b, h_c) serves both models, and is above both lines where it reads the difference. Halves: w·s·⟨e, h − μ⟩ of each model; the peak is their sum and the latent's bias."],
  "diff-sae": ["how far each model's stream lies from its mean along the direction that it reads; the peak is their difference, up to its bias and threshold.",
    "Base and chat lines: r = w·s·⟨e, h − μ⟩, how far each model's stream h lies from its mean along the direction e that the latent reads; negative is left unshaded. Chat minus base is the latent's activity, up to its bias and threshold."],
  sae: ["what it is on each model's stream.", "Base and chat lines: the code f(h_b) and f(h_c), the same encoder on each model's stream."],
};
const narrow = matchMedia("(max-width: 62rem)");
const reading = { shade: "levels", open: new Map() };

function kept(row) {
  return (data.examples[row] || []).map((values) => {
    const example = Object.fromEntries(values.map((value, place) => [data.fields[place], value]));
    const [from, roles, tokens] = data.rows[example.row];
    const end = example.first + example.levels.length;
    return { ...example, from, roles: roles.slice(example.first, end), tokens: tokens.slice(example.first, end), more: end < roles.length };
  });
}

function examples(row, run) {
  const found = kept(row);
  const read = READ[run.kind] || READ.sae;
  const file = make("code", {}, fileOf(run, "examples"));
  if (!found.length) return [make("p", { class: "note" }, ...(data.examples[row] ? ["No texts of this latent are in ", file, "."] : ["For the page's size its texts stand in ", file, " alone."]))];
  const box = make("div", {});
  const draw = () => box.replaceChildren(
    ...(reading.shade === "models" ? [make("p", { class: "note" }, read[1])] : []), ...bins(row, found));
  const choices = make("fieldset", { class: "shade" }, make("legend", {}, "shade by"), ...Object.entries(SHADES).map(([key, name]) => {
    const input = make("input", { type: "radio", name: "shade", value: key });
    input.checked = key === reading.shade;
    input.addEventListener("change", () => { reading.shade = key; draw(); });
    return make("label", {}, input, ` ${name}`);
  }));
  draw();
  return [make("div", { class: "block" }, make("h4", {}, "Texts, from its strongest to its weakest"),
    make("p", { class: "note" }, make("b", {}, "peak"), ": its activation at the boxed token. ", make("b", {}, "base, chat"), `: ${read[0]}`), choices, box,
    make("p", { class: "note" }, "A text counts once, by its peak (boxed), and belongs to the bin of that peak's share of the latent's largest activation. Some of the latent's strongest texts are always here; what else a bin shows was drawn from it at random. Underlined: template tokens; struck: masked for their norm."))];
}

function bins(row, found) {
  const numbers = [...new Set(found.map((example) => example.bin))];
  return numbers.map((bin, place) => {
    const some = found.filter((example) => example.bin === bin);
    const [low, high] = [bin ? data.edges[bin - 1] : 0, data.edges[bin]].map((edge) => `${Math.round(100 * edge)}`);
    const told = `${some.length} of ${some[0].among.toLocaleString("en")} text${some[0].among === 1 ? "" : "s"}`;
    const summary = make("summary", {}, `${low} to ${high} % of the largest`, make("span", { class: "sub" }, told));
    const part = make("details", { class: "texts" }, summary, ...some.map((example) => text(row, example)));
    const asked = some.some((example) => marked(example.tokens).size > 0);
    part.open = asked || (reading.open.has(bin) ? reading.open.get(bin) : place < 2 || !narrow.matches);
    summary.addEventListener("click", () => reading.open.set(bin, !part.open));
    return part;
  });
}

function text(row, example) {
  const number = (value, column) => make("span", { "data-src": addressOf(row, column, "examples") }, written(value, "number"));
  const [base, chat] = example.halves || [];
  const halves = example.halves ? [" (the base's half adds ", number(base, "half_base"), ", the chat's ", number(chat, "half_chat"), ")"] : [];
  const peak = sourced(row, "activations", written(example.peak, "number"), "examples");
  const facts = [`${example.from}, row ${example.row} · peak `, peak, ...halves, " · base ", number(example.onBase, "activations_base"), " · chat ", number(example.onChat, "activations_chat")];
  const lines = reading.shade === "levels" ? [shaded(example, example.levels)]
    : ["base", "chat"].map((model) => shaded(example, example[model], model));
  return make("div", { class: "example" }, make("small", {}, ...facts), ...lines);
}

function shaded(example, letters, model) {
  const found = marked(example.tokens);
  const tokens = example.tokens.map((token, place) => {
    const role = ROLES[example.roles[place]] || "";
    const level = data.letters.indexOf(letters[place]) / data.levels;
    const kinds = ["k", ...(role === "template" || role === "bos" ? ["t"] : []), ...(level < 0 ? ["x"] : []), ...(place === example.at ? ["at"] : []), ...(found.has(place) ? ["sought"] : [])];
    const hint = level < 0 ? `${role} · masked for its norm` : `${role} · ${written(level * (model ? example.most : example.peak), "number")}`;
    return make("span", { class: kinds.join(" "), title: hint, ...(level > 0 ? { style: `--a:${level.toFixed(2)}` } : {}) },
      ...visible(data.words[token]));
  });
  // The same words twice would only delay whoever listens to them: what differs is told in the line above.
  const copy = model === "base" ? { "aria-hidden": "true" } : {};
  const words = [example.first ? "…" : "", ...tokens, example.more ? "…" : ""];
  return make("p", { class: model ? `line ${model}` : "line", ...copy },
    ...(model ? [make("b", { class: `of ${model}` }, model), make("span", {}, ...words)] : words));
}
