// The page of long work: forms that start jobs, and the list of jobs, of which the open one is followed live.
import { getJSON, postForm, postJSON } from "./api.js";
import { element } from "./job_parts.js";
import { showModels } from "./models.js";
import { toast } from "./toast.js";

const LIST_MS = 2000;
const IDLE_MS = 10000;
const list = document.getElementById("jobs");
const news = document.getElementById("job-news");
const cards = new Map();
const titles = new Map([...document.querySelectorAll("form.job-form")].map((form) => [form.dataset.kind, form.getAttribute("aria-label")]));
const RESULTS = {
  ingest: ["See the specimens", "/explore"], embed: ["See the specimens", "/explore"], thumbnails: ["See the specimens", "/explore"],
  project: ["Open the map", "/likeness"], clusters: ["Open the clusters", "/clusters"], audit: ["Review them", "/review"],
  identify: ["Review them", "/review"], evaluate: ["Open the report", "/reports"], summarize: ["Open the report", "/reports"],
};
const STATES = { queued: "waits its turn", running: "running", done: "done", failed: "failed", cancelled: "cancelled", lost: "lost" };
const OVER = ["done", "failed", "cancelled", "lost"];

// ---------------------------------------------------------------- one job

class JobCard {
  constructor(job) {
    this.id = job.id;
    this.stream = null;
    this.node = element("li", { className: "card job", test: "job" });
    this.head = element("div", { className: "row spread" });
    this.bar = element("progress", { test: "job-progress" });
    this.bar.setAttribute("aria-label", "progress");
    this.count = element("p", { className: "faint", test: "job-count" });
    this.message = element("p", { className: "warn", test: "job-message" });
    this.command = element("code", { className: "command mono", test: "job-command" });
    this.command.tabIndex = 0;
    this.results = element("div", { className: "row", test: "job-results" });
    this.log = element("pre", { test: "job-log" });
    this.log.tabIndex = 0;
    this.log.hidden = true;
    this.showLog = element("button", { className: "quiet", text: "Log", test: "job-show-log" });
    this.showLog.type = "button";
    this.showLog.setAttribute("aria-expanded", "false");
    this.showLog.addEventListener("click", () => (this.log.hidden ? this.follow() : this.unfollow()));
    this.stop = element("button", { className: "quiet", text: "Cancel", test: "job-cancel" });
    this.stop.type = "button";
    this.stop.addEventListener("click", () => this.cancel());
    this.node.append(this.head, this.bar, this.count, this.message, this.command, this.results, this.log);
    this.update(job);
  }

  update(job) {
    const before = this.job?.status;
    this.job = job;
    this.node.dataset.id = job.id;
    this.node.dataset.status = job.status;
    const name = titles.get(job.kind) ?? job.kind;
    const status = element("span", { className: `status status-${job.status}`, text: STATES[job.status], test: "job-status" });
    const about = element("small", { className: "faint", text: `${job.by}, ${when(job.at)}${job.seconds === null ? "" : `, ${length(job.seconds)}`}` });
    const left = element("div", { className: "row" });
    left.append(element("strong", { text: name }), status, about);
    const right = element("div", { className: "row" });
    right.append(this.showLog);
    if (!OVER.includes(job.status)) right.append(this.stop);
    this.head.replaceChildren(left, right);
    this.command.textContent = job.command;
    this.message.textContent = job.message;
    this.message.hidden = !job.message;
    this.progress(job);
    this.links(job);
    if (before && before !== job.status && OVER.includes(job.status)) {
      news.textContent = `${name}: ${STATES[job.status]}. ${job.message}`;
      if (job.kind === "refit" && job.status === "done") showModels();
    }
  }

  progress(job) {
    const at = job.progress;
    const runs = job.status === "running";
    this.bar.hidden = !runs;
    this.count.hidden = !runs || !at;
    if (!runs) return;
    if (at && at.total) {
      this.bar.max = at.total;
      this.bar.value = Math.min(at.done, at.total);
    } else this.bar.removeAttribute("value");
    if (!at) return;
    const left = at.total && at.rate > 0 && at.done < at.total ? `, about ${length((at.total - at.done) / at.rate)} left` : "";
    const of = at.total ? ` of ${at.total.toLocaleString("en")}` : "";
    this.count.textContent = `${at.description}: ${at.done.toLocaleString("en")}${of} ${at.unit}${left}`;
  }

  links(job) {
    this.results.replaceChildren();
    for (const name of job.made) {
      const link = element("a", { className: "button second", text: `Save ${name}`, test: "job-file" });
      link.href = `/api/jobs/${job.id}/files/${encodeURIComponent(name)}`;
      this.results.append(link);
    }
    if (job.status === "done" && RESULTS[job.kind]) {
      const link = element("a", { className: "button second", text: RESULTS[job.kind][0], test: "job-result" });
      link.href = RESULTS[job.kind][1];
      this.results.append(link);
    }
  }

  follow() {
    this.log.hidden = false;
    this.log.textContent = "";
    this.log.dataset.empty = "";
    this.showLog.setAttribute("aria-expanded", "true");
    this.stream?.close();
    this.stream = new EventSource(`/api/jobs/${this.id}/events`);
    this.stream.addEventListener("log", (event) => this.write(JSON.parse(event.data).text));
    this.stream.addEventListener("job", (event) => this.update(JSON.parse(event.data)));
    this.stream.addEventListener("end", (event) => {
      this.stream.close();
      this.update(JSON.parse(event.data));
    });
  }

  unfollow() {
    this.log.hidden = true;
    this.showLog.setAttribute("aria-expanded", "false");
    this.stream?.close();
    this.stream = null;
  }

  write(text) {
    delete this.log.dataset.empty;
    const atEnd = this.log.scrollTop + this.log.clientHeight >= this.log.scrollHeight - 8;
    this.log.textContent = (this.log.textContent + text).slice(-200000);
    if (atEnd) this.log.scrollTop = this.log.scrollHeight;
  }

  async cancel() {
    this.stop.disabled = true;
    try {
      this.update(await postJSON(`/api/jobs/${this.id}/cancel`, {}));
      if (this.job.status === "running") toast("It was asked to end, and cleans up first");
    } catch { this.stop.disabled = false; }
  }
}

// ---------------------------------------------------------------- the list

function show(jobs) {
  document.getElementById("no-jobs").hidden = jobs.length > 0;
  const there = new Set(jobs.map((job) => job.id));
  for (const [id, card] of cards) if (!there.has(id)) { card.unfollow(); card.node.remove(); cards.delete(id); }
  jobs.forEach((job, place) => {
    let card = cards.get(job.id);
    if (card) card.update(job);
    else { card = new JobCard(job); cards.set(job.id, card); }
    if (list.children[place] !== card.node) list.insertBefore(card.node, list.children[place] ?? null);
  });
}

let timer = 0;
async function look() {
  clearTimeout(timer);
  let busy = true;
  try {
    const { jobs } = await getJSON("/api/jobs", { quiet: true });
    show(jobs);
    busy = jobs.some((job) => !OVER.includes(job.status));
  } catch { /* the server is away: asked again */ }
  timer = setTimeout(look, document.hidden || !busy ? IDLE_MS : LIST_MS);
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });

// ---------------------------------------------------------------- forms

function settingsOf(form) {
  const settings = {};
  for (const field of form.querySelectorAll("[data-name]")) {
    if (field.closest("[hidden]")) continue;
    const { name, kind } = field.dataset;
    if (kind === "bool") { if (field.checked) settings[name] = true; continue; }
    if (kind === "choices") {
      const chosen = [...field.querySelectorAll("input:checked")].map((each) => each.value);
      if (chosen.length) settings[name] = chosen;
      continue;
    }
    const value = field.value.trim();
    if (!value) continue;
    if (kind === "int" || kind === "float") settings[name] = Number(value);
    else if (kind === "list") settings[name] = value.split(",").map((each) => each.trim()).filter(Boolean);
    else settings[name] = value;
  }
  return settings;
}

/** Show only the fields that the others make use of. */
function fit(form) {
  const told = Object.fromEntries([...form.querySelectorAll("[data-name]")].map((field) => [field.dataset.name, field.value]));
  for (const box of form.querySelectorAll("[data-only]")) {
    const only = JSON.parse(box.dataset.only);
    box.hidden = only.length > 0 && !only.some((each) => Object.entries(each).every(([name, wanted]) => [].concat(wanted).includes(told[name])));
  }
}

async function start(form) {
  const settings = settingsOf(form);
  if (!("uploads" in form.dataset)) return postJSON("/api/jobs", { kind: form.dataset.kind, settings });
  const body = new FormData();
  for (const input of form.querySelectorAll("input[type=file]")) {
    for (const file of input.files) body.append("files", file, file.webkitRelativePath || file.name);
  }
  if (!body.has("files")) { toast("Choose a file, a zip or a folder first", { error: true }); return null; }
  body.append("kind", form.dataset.kind);
  body.append("settings", JSON.stringify(settings));
  return postForm("/api/jobs/upload", body);
}

for (const form of document.querySelectorAll("form.job-form")) {
  fit(form);
  form.addEventListener("input", () => fit(form));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    try {
      const job = await start(form);
      if (job) { news.textContent = `${titles.get(job.kind)}: started`; await look(); cards.get(job.id)?.node.scrollIntoView({ block: "nearest" }); }
    } catch { /* shown as a toast */ } finally { button.disabled = false; }
  });
}

const length = (seconds) => (seconds < 90 ? `${Math.max(Math.round(seconds), 0)} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`);
const when = (iso) => new Date(iso).toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

const wanted = new URLSearchParams(location.search).get("start");
const opened = wanted && document.getElementById(`kind-${wanted}`);
if (opened) { opened.open = true; opened.querySelector("summary").focus(); }
look();
if (document.getElementById("models")) showModels();
