// Identify: files are sent once, then the page asks how far they are.
import { getJSON, postForm } from "./api.js";
import { filesOf, piece, show } from "./drop.js";

const form = document.getElementById("identify");
const results = document.getElementById("results");
const status = document.getElementById("status");
const bar = document.getElementById("progress");
const button = form.querySelector("button[type=submit]");
const files = filesOf(form, { most: Number(form.dataset.most) });
const LOOK_MS = 400;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function tell(line, warn = false) {
  status.textContent = line;
  status.className = warn ? "warn" : "";
}

async function identify() {
  if (!files.files.length && !form.querySelector("[name=dna]")?.value.trim()) { tell(form.dataset.nothing); return; }
  const data = files.data();
  data.set("wait", "0");
  button.disabled = true;
  results.setAttribute("aria-busy", "true");
  tell(files.files.length ? `Sending ${files.files.length.toLocaleString("en")} files…` : "Sending…");
  try {
    const started = await postForm("/api/identify", data, { quiet: true });
    if (started.job) { becameJob(started); return; }
    await follow(started.token);
  } catch (error) {
    tell(error.message, true);
  } finally {
    button.disabled = false;
    bar.hidden = true;
    results.setAttribute("aria-busy", "false");
  }
}

async function follow(token) {
  for (;;) {
    const at = await getJSON(`/api/identify/${token}`, { quiet: true });
    if (at.state === "failed") { tell(at.error, true); return; }
    if (at.state === "done") break;
    bar.hidden = false;
    if (at.total) bar.value = at.done / at.total; else bar.removeAttribute("value");
    tell(`${at.doing}${at.total ? `: ${at.done.toLocaleString("en")} of ${at.total.toLocaleString("en")}` : "…"}`);
    await pause(LOOK_MS);
  }
  const found = await piece(`/identify/${encodeURIComponent(token)}/results`);
  if (found.error) { tell(found.error, true); return; }
  show(results, found.html);
  tell("Done.");
}

function becameJob(started) {
  tell(`${started.images.toLocaleString("en")} of them are named by a job: `);
  const link = document.createElement("a");
  link.href = `/jobs/${encodeURIComponent(started.job)}`;
  link.textContent = "follow it";
  link.dataset.test = "job";
  status.append(link);
}

form.addEventListener("submit", (event) => { event.preventDefault(); identify(); });
