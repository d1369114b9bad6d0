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
      const answer = await postJSON("/api/jobs", { kind: button.dataset.startJob, settings: {} });
      await watch((answer.job ?? answer).id, says);
      location.reload();
    } catch (error) {
      says.textContent = error.message;
      button.disabled = false;
    }
  });
}

async function watch(id, says) {
  for (;;) {
    const answer = await getJSON(`/api/jobs/${encodeURIComponent(id)}`), job = answer.job ?? answer;
    const line = job.last ?? job.says ?? job.message ?? "";
    says.textContent = `The job is ${job.state ?? job.status}. ${typeof line === "string" ? line : ""}`;
    if (OVER.includes(job.state ?? job.status)) {
      if ((job.state ?? job.status) !== "done") throw new Error(`The job is ${job.state ?? job.status}: its log on the page Jobs says why.`);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
}
