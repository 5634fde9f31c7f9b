// A latent's numbers: what each means, the file that holds it, and its activity as shares and bars.
const ROLES = ["bos", "template", "user", "assistant", "text"];
const FACTS = [
  ["place", "rank", "rank", "Derived: the place among the live latents of this dictionary and seed: those chat-specific by ν first, then by |ν| (of a crosscoder by |ν_r| and |ν_ε| together)."],
  ["nu_activation", "ν", "number", "How much the base's activations follow its direction while it is active, relative to how much chat's do: 0 not at all, 1 as much, more than 1 more, less than 0 the other way round; ± its jackknife error. Ill-posed where chat's own are not clear of 0."],
  ["nu_reconstruction", "ν_r", "number", "ν of what the dictionary reconstructs."],
  ["nu_error", "ν_ε", "number", "ν of what the reconstruction leaves out, with this latent added back."],
  ["delta_norm", "Δ_norm", "number", "The chat row's part in its two decoder norms: 1 only chat's, 0.5 both alike, 0 only the base's."],
  ["tested", "tested", "number", "What its call rests on, else the chat-specific one would, with its 95 % interval: centred ν, within 0.2 of 0 for a call; of a rotated latent the larger of both; of a rescaled one the log of chat's strength over the base's; of a diff-SAE separation, 1 if only chat moves along the direction, −1 if only the base does."],
  ["q", "q", "number", "The lowest false discovery rate at which it would be called that."],
  ["reappears", "matched in other seeds", "seeds", "Other seeds of its dictionary with a latent that is its nearest, whose nearest it is, and that fires on the same tokens."],
  ["cosine", "cosine of decoder rows", "number", "Whether its base and chat rows point the same way."],
  ["norm_base", "norm, base row", "number", "Length of its decoder row for the base."],
  ["norm_chat", "norm, chat row", "number", "Length of its decoder row for chat; of an SAE, of its only row."],
  ["frequency", "active on", "percent", "Share of the held-out tokens on which it is active."],
  ["max", "largest activation", "number", "On any held-out token."],
  ["mean", "mean where active", "number", "Over the tokens on which it is active."],
];
const BY_CALL = ["call", "upheld", "consensus_call", "q", "reappears", "tested"];
const TESTED = {
  nu_centred: "centred ν", nu_centred_base: "centred ν, base's row", "nu_centred, nu_centred_base": "larger centred ν",
  strength_ratio: "log ratio of strengths", separation_difference: "separation, chat − base",
};

// The address of one value of a latent: <file>#latent=N&column=C, of a table of several seeds with seed=S before it.
function addressOf(row, column, table_ = "") {
  const run = data.runs[table.run[row]];
  const latent = `latent=${table.latent[row]}`;
  if (column === "place") return addressOf(row, run.twoSided ? "nu_reconstruction" : "nu_activation");
  if (!BY_CALL.includes(column)) return `${fileOf(run, table_)}#${latent}&column=${column}`;
  const of = column === "q" ? `q_${(isCall(row) ? table.call[row] : "chat-specific").replace("-", "_")}` : column;
  return `calls/${run.name}.parquet#seed=${run.seed}&${latent}&column=${of}`;
}

// The file of a dictionary and seed: its latent table, its examples, or one of the tables beside the first.
function fileOf(run, table_) {
  return table_ === "examples" ? `examples/${run.folder}.parquet` : `latents/${run.folder}${table_ && `.${table_}`}.parquet`;
}

function sourced(row, column, text, table_ = "", more = {}) {
  return make("span", { "data-src": addressOf(row, column, table_), tabindex: "0", ...more }, text);
}

// Whether a call says that a latent differs between the models.
function differs(call) {
  return call !== null && !["none", "undetermined", "dead"].includes(call);
}

function isCall(row) {
  return differs(table.call[row]);
}

function others(run) {
  return data.runs.filter((other) => other.name === run.name && other.seed !== run.seed).length;
}

function written(value, style) {
  if (value === null || value === undefined) return "–";
  if (style === "rank") return (value + 1).toLocaleString("en");
  const scaled = style === "percent" ? 100 * value : value;
  const size = Math.abs(scaled);
  const digits = style === "percent" ? 1 : 2;
  const decimals = size === 0 || size >= 100 ? 0 : Math.min(3, Math.max(0, digits - Math.floor(Math.log10(size))));
  return scaled.toFixed(decimals).replace(/^-(?=[0.]*$)/, "").replace("-", "−") + (style === "percent" ? " %" : "");
}

// A number of a row in the style of its kind; seeds as a count, for a share of two or three says less.
function valueOf(row, column, style) {
  const value = table[column] ? table[column][row] : null;
  const all = others(data.runs[table.run[row]]);
  return style === "seeds" && value !== null ? `${Math.round(value * all)} of ${all}` : written(value, style);
}

// Δ_norm, ν_r and ν_ε set as symbols.
function symbols(text) {
  return text.split(/(Δ_norm|ν_[rε])/).flatMap((part) => {
    const [whole, below] = /^[Δν]_/.test(part) ? part.split("_") : [part];
    return below ? [whole, make("sub", {}, below)] : [whole];
  });
}

function facts(row, run) {
  const found = FACTS.filter(([column]) => table[column] && table[column][row] !== null);
  const sources = Object.keys(table).filter((column) => column.startsWith("frequency_") && table[column][row] !== null)
    .map((column) => [column, `on ${column.slice("frequency_".length)} tokens`, "percent"]);
  const numbers = [...found, ...sources].map(([column, name, style, meaning]) => {
    let text = valueOf(row, column, style);
    if (column === "nu_activation") {
      text += table.valid[row] ? "" : " (ill-posed)";
      const error = table.nu_activation_se && table.nu_activation_se[row];
      if (error && table.valid[row]) text += ` ± ${written(error, style)}`;
    }
    if (column === "tested") text += ` (${written(table.tested_low[row], style)} to ${written(table.tested_high[row], style)})`;
    const derived = column === "place" ? { "data-hint": "the row's place when sorted by this column" } : {};
    const title = column === "tested" ? `tested: ${TESTED[table.tested_by[row]]}` : column === "q" ? `q as ${isCall(row) ? table.call[row] : "chat-specific"}` : name;
    return make("div", meaning ? { title: meaning } : {}, make("dt", {}, ...symbols(title)), make("dd", {}, sourced(row, column, text, "", derived)));
  });
  const terms = found.flatMap(([, name, , meaning]) => [make("dt", {}, ...symbols(name)), make("dd", {}, ...symbols(meaning))]);
  return [make("dl", { class: "numbers" }, ...numbers, ...alike(row, run)),
    make("details", { class: "meaning" }, make("summary", {}, "What these numbers mean"), make("dl", { class: "terms" }, ...terms))];
}

// A one-to-one match needs both latents to be each other's nearest; of many alike, a latent may have none.
function alike(row, run) {
  const all = others(run);
  if (!all || !data.twins[row].length) return [];
  const near = data.twins[row].filter(([other, , cosine]) => data.runs[other].name === run.name && cosine >= data.same);
  const files = [run, ...near.map(([other]) => data.runs[other])].map(weightsOf).join(" ");
  return [make("div", { title: `Other seeds with a latent that points its way: cosine from ${data.same}, matched or not.` },
    make("dt", {}, "like direction in other seeds"), make("dd", {}, make("span", { "data-files": files, tabindex: "0" }, `${near.length} of ${all}`)))];
}

function weightsOf(run) {
  return `dictionaries/${run.folder}/dictionary.safetensors`;
}

function shares(row) {
  const parts = ROLES.filter((role) => table[`${role}_share`] && table[`${role}_share`][row] !== null);
  if (!parts.length) return [];
  const lines = parts.map((role) => {
    const column = `${role}_share`;
    return make("tr", {}, make("th", { scope: "row" }, role), make("td", {}, sourced(row, column, valueOf(row, column, "percent"))),
      make("td", { class: "share" }, make("i", { style: `width:${(100 * table[column][row]).toFixed(1)}%` })));
  });
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
    make("div", { class: "bins", role: "img", tabindex: "0", "data-src": addressOf(row, "histogram"), "aria-label": `active tokens by activation, ${ends}: ${shown.join(", ")}` },
      ...shown.map((count, bin) => make("i", { style: `height:${100 * Math.log1p(count) / most}%`, title: `from ${edge(first + bin)}: ${count} tokens` }))),
    make("p", { class: "note" }, `Active tokens by activation, ${ends}, each bar twice as strong as the one before; heights are logarithmic.`))];
}
