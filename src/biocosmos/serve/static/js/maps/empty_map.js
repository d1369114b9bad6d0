// @ts-check
// Where there is no map yet: a button that has it made, and its progress.
import { getJSON, postJSON } from "../api.js";

const EVERY = 1500; // milliseconds between questions about the job
const OVER = ["done", "failed", "cancelled", "lost"];

/** root: with [data-start-job=KIND] and [data-part=progress]. */
export function offerJob(root) {
  const button = root.querySelector("[data-start-job]"), says = root.querySelector('[data-part="progress"]');
  button?.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const { id } = await postJSON("/api/jobs", { kind: button.dataset.startJob, settings: {} });
      await watch(id, says);
      location.reload();
    } catch (error) {
      says.textContent = error.message;
      button.disabled = false;
    }
  });
}

async function watch(id, says) {
  for (;;) {
    const job = await getJSON(`/api/jobs/${encodeURIComponent(id)}`);
    const at = job.progress, done = at ? `${at.description}: ${at.done.toLocaleString("en")}${at.total ? ` of ${at.total.toLocaleString("en")}` : ""} ${at.unit}` : job.message;
    says.textContent = `The job is ${job.status}. ${done}`;
    if (OVER.includes(job.status)) {
      if (job.status !== "done") throw new Error(`The job ended as ${job.status}: its log on the page Jobs says why.`);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
}
