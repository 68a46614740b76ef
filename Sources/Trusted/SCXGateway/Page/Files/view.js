// Shows what the worker saw for an answer, and what attacks read from it.

/** An element with attributes and children, which are elements or plain text. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const share = ({ right, of }) => (of ? right / of : 0);
const count = (number) => Math.round(number).toLocaleString("en");

function percent(part) {
  const value = 100 * share(part);
  // Neither all nor nothing unless it is.
  return `${value > 99 && value < 100 ? 99 : value > 0 && value < 1 ? 1 : Math.round(value)} %`;
}

function size(bytes) {
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(1)} MB`;
  return bytes >= 1e3 ? `${(bytes / 1e3).toFixed(1)} kB` : `${bytes} bytes`;
}

/** Shows a view; returns its summary in words. */
export function showView(place, view) {
  const real = view.attacks.filter(({ name }) => name !== "guessing" && name !== "traffic");
  const guessing = view.attacks.find(({ name }) => name === "guessing");
  const chance = guessing?.recovered ?? { right: 0, of: 0 };
  // What a guess recovers too was not read.
  const best = real.reduce((a, b) => (b.recovered.right > (a?.recovered ?? chance).right ? b : a), null);
  const [verdict, words] = summary(view, best, real.length, guessing);
  const parts = [verdict];
  if (!view.complete) parts.push(element("p", { class: "quiet" }, "The recording was cut at its limit: later frames are missing here, not there."));
  if (view.attacks.length) parts.push(...texts(view, best ?? real[0] ?? view.attacks[0]));
  if (view.pictures.length) parts.push(...pictures(view.pictures));
  parts.push(frames(view), notRun(view.attacks_not_run));
  place.replaceChildren(...parts);
  return words;
}

function summary(view, best, tried, guessing) {
  const { frames, bytes_to_worker, bytes_from_worker } = view.totals;
  const seen = `With profile ${view.profile} the worker saw ${count(frames)} frames, ${size(bytes_to_worker)} sent to it and ${size(bytes_from_worker)} computed by it.`;
  let [kind, title, result] = ["fair", "Not attacked", "None of the fast attacks could be run on them here; that says nothing about what others read."];
  if (best) {
    const level = share(best.recovered);
    const chance = guessing ? ` The model alone guesses ${percent(guessing.recovered)}.` : "";
    kind = level >= 0.5 ? "bad" : "fair";
    title = level >= 0.95 ? "The worker can read this conversation" : "The worker can read parts of this conversation";
    result = `From these, the attack ${best.name} read ${percent(best.prompt)} of your words (${best.prompt.right} of ${best.prompt.of} tokens)` +
      (best.answer.of ? ` and ${percent(best.answer)} of the answer (${best.answer.right} of ${best.answer.of})` : "") +
      ` in ${best.seconds.toFixed(2)} s.${chance}`;
  } else if (tried) {
    [kind, title] = ["good", "The fast attacks read no more than a guess"];
    result = `A guess is right about ${percent(guessing?.recovered ?? {})}. That is no proof: slower attacks were not run here, and others may not be known.`;
  }
  const box = element("div", { class: `verdict ${kind}` }, element("strong", {}, title), element("p", {}, `${seen} ${result}`));
  return [box, `${title}. ${seen} ${result}`];
}

/** The real text beside the one an attack found, with a choice of attacks. */
function texts(view, first) {
  const truth = element("div", { class: "tokens", id: "truth", tabindex: "0", role: "region", "aria-label": "The real text" });
  const found = element("div", { class: "tokens", id: "found", tabindex: "0", role: "region", "aria-label": "The recovered text" });
  const title = element("h3", {});
  const explanation = element("p", { class: "quiet" });
  function show(attack) {
    title.textContent = `What the attack ${attack.name} reads`;
    explanation.textContent = attack.explanation;
    const tokens = attack.tokens ?? [];
    truth.replaceChildren(...view.tokens.map(({ text, state }, i) =>
      token(text, state === "secret" ? (tokens[i]?.state === "right" ? "right" : "") : state)));
    found.replaceChildren(...tokens.map(({ text, state }) => token(text, state)));
    for (const { name, value } of attack.measures ?? []) {
      found.append(`${found.childNodes.length ? "\n" : ""}${name}: ${count(value)}`);
    }
    if (attack.unplaced?.right || !tokens.length && attack.unplaced) {
      found.append(`${tokens.length ? "\n" : ""}${attack.unplaced.rows} rows without a place, ${attack.unplaced.right} of your tokens among them: ${attack.unplaced.text}`);
    }
  }
  const choice = element("fieldset", { class: "attacks" }, element("legend", { class: "hidden" }, "Attack to look at"));
  for (const attack of view.attacks) {
    const input = element("input", { type: "radio", name: "attack", value: attack.name });
    input.checked = attack === first;
    input.addEventListener("change", () => show(attack));
    const level = share(attack.recovered);
    choice.append(element("label", {}, input, element("code", {}, attack.name),
      element("meter", { min: 0, max: 1, value: level, "aria-hidden": "true" }),
      element("span", { class: "share" }, attack.name === "traffic" ? "–" : percent(attack.recovered))));
  }
  show(first);
  const legend = element("p", { class: "legend" }, token("recovered", "right"), token("wrong", "wrong"),
    token("· not found", "gap"), token("known to everybody, not counted", "known"));
  const last = { kept: "drawn last: never sent, though the worker computed its odds", missing: "not recorded" };
  for (const [state, words] of Object.entries(last)) {
    if (view.tokens.some((one) => one.state === state)) legend.append(token(words, state));
  }
  return [element("h3", {}, "The real text"), truth, title, explanation, found, legend,
    element("h3", {}, "Attacks, and the share of the unknown tokens that each recovered"), choice];
}

function token(text, state) {
  return state ? element("span", { class: state }, text) : element("span", {}, text);
}

function pictures(list) {
  const grid = element("div", { class: "pictures" });
  for (const { title, note, frame, rows, channels, width, height, data } of list) {
    const canvas = element("canvas", { width, height, role: "img", "aria-label": `${title}: ${rows} rows of ${channels} numbers as colours` });
    paint(canvas, Uint8Array.from(atob(data), (c) => c.charCodeAt(0)), width, height);
    grid.append(element("figure", {}, canvas, element("figcaption", {}, element("b", {}, title), `, frame ${frame}: ${note}; ${count(rows)} × ${count(channels)}`)));
  }
  return [element("h3", {}, "Pictures of the tensors"),
    element("p", { class: "quiet" }, "A row for each row that travelled, a column for some of its numbers: orange is positive, blue negative."), grid];
}

function paint(canvas, bytes, width, height) {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const [low, middle, high] = dark ? [[90, 160, 255], [24, 29, 33], [255, 165, 70]] : [[20, 80, 170], [250, 250, 247], [205, 85, 0]];
  const image = new ImageData(width, height);
  bytes.forEach((byte, i) => {
    const level = Math.min(1, Math.abs(byte - 128) / 127);
    const end = byte < 128 ? low : high;
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = middle[c] + (end[c] - middle[c]) * level;
    image.data[4 * i + 3] = 255;
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function frames(view) {
  const columns = ["frame", "direction", "kind", "layer", "site", "rows", "channels", "dtype", "bytes", "ms"];
  const numbers = new Set(["frame", "layer", "rows", "channels", "bytes", "ms"]);
  const cell = (kind, name, text) => element(kind, numbers.has(name) ? { class: "number" } : {}, text);
  const body = element("tbody");
  view.frames.forEach((frame, i) => {
    const texts = { ...frame, frame: i + 1, ms: (frame.microseconds / 1000).toFixed(1) };
    body.append(element("tr", {}, ...columns.map((name) => cell("td", name, `${texts[name] ?? ""}`))));
  });
  const head = element("thead", {}, element("tr", {}, ...columns.map((name) => cell("th", name, name))));
  const box = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Frames" }, element("table", {}, head, body));
  const more = view.frames_left_out ? element("p", { class: "quiet" }, `and ${count(view.frames_left_out)} more`) : "";
  return element("details", {}, element("summary", {}, `All ${count(view.totals.frames)} frames`), box, more);
}

function notRun(list) {
  if (!list.length) return "";
  const reasons = Map.groupBy(list, ({ reason }) => reason);
  const lines = [...reasons].map(([reason, attacks]) =>
    element("li", {}, element("code", {}, attacks.map(({ name }) => name).join(", ")), `: ${reason}`));
  return element("details", {}, element("summary", {}, `${list.length} attacks were not run`), element("ul", {}, ...lines));
}
