// The conversation: asks this server's OpenAI interface, shows answers as they stream, and for each its view.
// Text from anywhere goes into the page as text, never as markup. Nothing is stored.
import { element, showView } from "./view.js";

const $ = (id) => document.getElementById(id);
const messages = []; // as they are sent
let model = "";
let profiles = [];
let key = "";
let running = null; // the AbortController of the answer on its way

function headers(more = {}) {
  return key ? { authorization: `Bearer ${key}`, ...more } : more;
}

/** A reply's JSON, or an Error with the server's own words. */
async function request(path, options = {}) {
  let reply;
  try {
    reply = await fetch(path, { cache: "no-store", ...options, headers: headers(options.headers) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server cannot be reached. Is `scx serve` still running?");
  }
  if (reply.ok) return reply;
  const problem = new Error(`The server answered with status ${reply.status}.`);
  problem.status = reply.status;
  try {
    const said = (await reply.json()).error?.message;
    if (said) problem.message = `${said} (status ${reply.status})`;
  } catch { /* no JSON: the status says enough */ }
  const wait = reply.headers.get("retry-after");
  if (wait) problem.message += ` Try again in ${wait} s.`;
  if (reply.status === 401) askForKey();
  return Promise.reject(problem);
}

function post(path, body, more = {}, signal) {
  const head = { "content-type": "application/json", ...more };
  return request(path, { method: "POST", body: JSON.stringify(body), headers: head, signal });
}

function askForKey() {
  $("access").open = true;
  $("key").focus();
}

/** For screen readers. */
function say(text) { $("status").textContent = text; }

/** In place of a view. */
function note(text) { $("viewbody").replaceChildren(element("p", { class: "quiet" }, text)); }

/** Learns which model and profiles there are. */
async function connect() {
  try {
    const list = await (await request("/v1/models")).json();
    const first = list.data?.[0] ?? {};
    model = first.id ?? "";
    profiles = list.scx?.profiles ?? first.scx?.profiles ?? [];
    const health = await request("/health").then((reply) => reply.json(), () => ({}));
    $("model").textContent = model + (health.insecure ? " · without TLS: whoever listens reads along" : "");
    const chosen = $("profile").value;
    $("profile").replaceChildren(...profiles.map(({ name }) => element("option", { value: name }, name)));
    if (profiles.some(({ name }) => name === chosen)) $("profile").value = chosen;
    $("profile").disabled = profiles.length === 0;
    warn();
    showFacts(health);
    return true;
  } catch (error) {
    $("model").textContent = error.status === 401 ? "this server asks for an API key" : error.message;
    say($("model").textContent);
    return false;
  }
}

function warn() {
  const profile = profiles.find(({ name }) => name === $("profile").value);
  $("warning").textContent = profile?.warning ? `${profile.name}: ${profile.warning}` : "";
}

/** What the profiles that are served here hide, and whose owners must not collude. */
function showFacts(health) {
  const rows = profiles.map(({ name, worker_sees, hides, leaks }) =>
    element("tr", {}, element("th", { scope: "row" }, name), ...[worker_sees, hides, leaks].map((text) => element("td", {}, text ?? ""))));
  $("facts").querySelector("tbody").replaceChildren(...rows);
  const owners = Object.entries(health.profiles ?? {}).filter(([, { owners }]) => owners);
  $("owners").replaceChildren(...owners.map(([name, { owners }]) => element("li", {}, `${name}: ${owners}`)));
  $("facts").hidden = rows.length === 0;
}

function addMessage(role, text) {
  $("hint")?.remove();
  const body = element("div", { class: "text" }, text);
  const who = { user: "You", assistant: "Answer", error: "Problem" }[role];
  const foot = element("div", { class: "foot" });
  const box = element("div", { class: `message ${role}` }, element("span", { class: "hidden" }, `${who}: `), body, foot);
  $("log").append(box);
  scroll();
  return { box, body, foot };
}

/** Whether the end of the newest text is in sight, so that the reader wants to see what comes. */
function isFollowing() {
  const bottom = $("log").lastElementChild.getBoundingClientRect().bottom;
  return bottom - $("composer").getBoundingClientRect().top < 60;
}

/** Brings the newest text above the question field. */
function scroll() { $("log").lastElementChild.scrollIntoView({ block: "end" }); }

/** The data of each server-sent event. */
async function* events(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  while (true) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split(/\r?\n\r?\n/);
    rest = parts.pop();
    for (const part of parts) {
      const data = part.split(/\r?\n/).filter((line) => line.startsWith("data:"))
        .map((line) => line.slice(5).trimStart()).join("\n");
      if (data === "[DONE]") return;
      if (data) yield JSON.parse(data);
    }
  }
}

function setRunning(controller) {
  running = controller;
  $("stop").hidden = !controller;
  $("send").disabled = Boolean(controller);
  $("profile").disabled = Boolean(controller) || profiles.length === 0;
}

async function ask() {
  if (!model && !(await connect())) return fail(new Error($("model").textContent));
  const controller = new AbortController();
  const [profile, look] = [$("profile").value, $("look").checked];
  const answer = addMessage("assistant", "");
  answer.box.setAttribute("aria-busy", "true");
  setRunning(controller);
  say("The answer is on its way.");
  note(look ? "The answer is on its way …" : "Not asked for.");
  let [text, id, usage, finish, failure] = ["", "", null, null, null];
  try {
    const body = { model, messages, stream: true, stream_options: { include_usage: true } };
    // The server then computes this request alone and afresh, so that nothing of another is shown.
    if (look) body.scx_view = true;
    const reply = await post("/v1/chat/completions", body, profile ? { "x-scx-profile": profile } : {}, controller.signal);
    for await (const event of events(reply)) {
      if (event.error) throw new Error(event.error.message);
      id = event.id ?? id;
      usage = event.usage ?? usage;
      const choice = event.choices?.[0];
      finish = choice?.finish_reason ?? finish;
      if (!choice?.delta?.content) continue;
      text += choice.delta.content;
      const follows = isFollowing();
      answer.body.textContent = text;
      if (follows) scroll();
    }
    if (!finish) throw new Error("The connection ended in the middle of the answer.");
  } catch (error) {
    failure = error;
  }
  answer.box.removeAttribute("aria-busy");
  setRunning(null);
  if (failure && !text) answer.box.remove();
  if (text || !failure) messages.push({ role: "assistant", content: text });
  if (failure) return failure.name === "AbortError" ? stopped(answer, text) : fail(failure, answer);
  const facts = [profile, usage && `${usage.completion_tokens} tokens`, finish === "length" && "cut at the limit"];
  const follows = isFollowing();
  answer.foot.append(element("span", { class: "quiet" }, facts.filter(Boolean).join(" · ")));
  if (follows) scroll();
  say(`The answer: ${text}`);
  if (look) await loadView(answer, id);
}

/** Asks for the view of an answer; it can be looked at again later. */
async function loadView(answer, id) {
  note("The laboratory's attacks are running …");
  $("view").setAttribute("aria-busy", "true");
  try {
    const view = await (await post("/scx/view", { id })).json();
    const button = element("button", { type: "button" }, "What the worker saw");
    button.addEventListener("click", () => {
      showView($("viewbody"), view);
      $("view").focus();
      $("view").scrollIntoView({ block: "start" });
    });
    const follows = isFollowing();
    answer.foot.append(button);
    if (follows) scroll();
    say(showView($("viewbody"), view));
  } catch (error) {
    note(`This server gave no view of the answer. ${error.message}`);
  }
  $("view").removeAttribute("aria-busy");
}

function stopped(answer, text) {
  if (text) answer.foot.append(element("span", { class: "quiet" }, "stopped"));
  note("The answer was stopped.");
  say("Stopped.");
}

/** Says what went wrong, and offers to ask the same again, in place of what there is of the answer. */
function fail(error, answer) {
  const shown = addMessage("error", error.message);
  const again = element("button", { type: "button" }, "Try again");
  again.addEventListener("click", () => {
    if (running) return;
    shown.box.remove();
    answer?.box.remove();
    if (messages.at(-1)?.role === "assistant") messages.pop();
    ask();
  });
  shown.foot.append(again);
  note("There is no answer to look at.");
  say(error.message);
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("question").value.trim();
  if (!text || running) return;
  for (const problem of document.querySelectorAll(".message.error")) problem.remove();
  if (messages.at(-1)?.role === "user") { // it was never answered, and is not asked again
    messages.pop();
    [...document.querySelectorAll(".message.user")].at(-1)?.remove();
  }
  messages.push({ role: "user", content: text });
  addMessage("user", text);
  $("question").value = "";
  ask();
});
$("question").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("composer").requestSubmit();
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") running?.abort(); });
$("stop").addEventListener("click", () => { running?.abort(); $("question").focus(); });
$("new").addEventListener("click", () => {
  running?.abort();
  messages.length = 0;
  $("log").replaceChildren();
  note("Nothing yet.");
  say("A new chat.");
  $("question").focus();
});
$("profile").addEventListener("change", warn);
$("keyform").addEventListener("submit", (event) => {
  event.preventDefault();
  key = $("key").value.trim();
  $("access").open = false;
  connect();
  $("question").focus();
});
connect();
$("question").focus();
