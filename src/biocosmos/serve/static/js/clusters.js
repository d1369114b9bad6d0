// @ts-check
// All clusters: sorted, selected, merged, put aside; proposed anew, at once or by a job.
import { getJSON, postJSON } from "./api.js";
import { onKey } from "./keys.js";
import { undo } from "./labels.js";
import { Selection } from "./selection.js";
import { toast } from "./toast.js";

const page = document.querySelector("[data-clusters]");
const grid = document.getElementById("clusters");
const byId = (id) => document.getElementById(id);

for (const control of page?.querySelectorAll("[data-test=sort], [data-test=reverse]") ?? []) control.addEventListener("change", () => control.form.submit());

// ---------------------------------------------------------------- proposals

const busy = (button, words) => { button.disabled = true; button.textContent = words; };

async function propose(source, button) {
  if (button) busy(button, "Clustering …");
  const size = Number(byId("size")?.value) || null;
  const done = await postJSON("/api/clusters/propose", { source, size: source === "left" ? size : null }).catch(() => null);
  if (!done) { location.reload(); return; }
  if (done.job) follow(done.job); else location.reload();
}

/** Show how a job goes, and take over what it found. */
async function follow(job) {
  const line = byId("job");
  line.hidden = false;
  for (;;) {
    const now = await getJSON(`/api/jobs/${encodeURIComponent(job.id)}`, { quiet: true }).catch(() => null);
    const state = now?.status ?? job.status;
    line.textContent = `The job “clusters” is ${state}. It goes on if you leave this page.`;
    if (state === "done") { await propose("kept", null); return; }
    if (["failed", "cancelled", "lost", "ended"].includes(state)) { line.textContent = `The job “clusters” ${state}: see Jobs for its log.`; return; }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

for (const [id, source] of [["recluster", "left"], ["first", "left"], ["take-kept", "kept"]]) {
  byId(id)?.addEventListener("click", (event) => propose(source, event.currentTarget));
}
byId("first-job")?.addEventListener("click", async (event) => {
  busy(event.currentTarget, "Starting …");
  const job = await postJSON("/api/jobs", { kind: "clusters", settings: {} }).catch(() => null);
  if (job) follow(job); else location.reload();
});
onKey("r", "recluster what is left", () => { const button = byId("recluster"); if (!button) return false; propose("left", button); });
onKey("z", "undo the last act, any number of steps", () => { undo(); });
document.addEventListener("undone", () => location.reload());

// ---------------------------------------------------------------- the grid

if (grid) {
  const selection = new Selection(grid);
  const bar = byId("cluster-bar");
  selection.addEventListener("selection", () => {
    const count = selection.ids().length;
    bar.hidden = count === 0;
    bar.querySelector(".selected").textContent = `${count} ${count === 1 ? "cluster" : "clusters"} selected`;
    byId("merge").disabled = count < 2;
  });

  const merge = async () => {
    const names = selection.target();
    if (names.length < 2) { toast("select two clusters or more to merge: click their pictures, or press space"); return; }
    const done = await postJSON("/api/clusters/merge", { clusters: names }).catch(() => null);
    if (!done) return;
    toast(`${names.length} clusters are one of ${done.cluster.size.toLocaleString("en")}`, { action: { label: "Undo", run: () => undo() } });
    selection.drop(names.slice(1));
    counted(names.length - 1);
    selection.clear();
    const tile = [...grid.querySelectorAll(".tile")].find((each) => each.dataset.id === names[0]);
    const name = tile?.querySelector(".name");
    if (name) name.textContent = `${done.cluster.size.toLocaleString("en")} · ${done.cluster.guess ?? "not named yet"}`;
  };
  const counted = (fewer) => {
    const words = document.querySelector("[data-test=count]"), left = Number(words?.dataset.total) - fewer;
    if (!words || !(left >= 0)) return;
    words.dataset.total = String(left);
    words.textContent = `${left.toLocaleString("en")} ${left === 1 ? "cluster that holds" : "clusters that hold"} something without a name`;
  };
  const aside = async () => {
    const names = selection.target();
    for (const name of names) if (!await postJSON("/api/clusters/dissolve", { cluster: name }).catch(() => null)) return;
    if (names.length) { selection.drop(names); counted(names.length); toast(`${names.length} put aside`, { action: { label: "Undo", run: () => undo() } }); }
  };
  byId("merge").addEventListener("click", merge);
  byId("dissolve").addEventListener("click", aside);
  byId("clear").addEventListener("click", () => selection.clear());
  onKey("m", "merge the selected clusters", () => { merge(); });
  onKey("x", "put the selected clusters aside", () => { aside(); });
  onKey("Enter", "open the cluster that has the focus", () => false);
  onKey(" ", "select a cluster, or leave it out", () => false);
  onKey("Escape", "clear the selection", () => selection.clear());
  onKey("ctrl+a", "select all that is shown", () => selection.all());

  let loading = false;
  const more = async (sentinel) => {
    if (loading) return;
    loading = true;
    const given = new URLSearchParams({ sort: page.dataset.sort, reverse: page.dataset.reverse, start: sentinel.dataset.next });
    const answer = await fetch(`/clusters/more?${given}`, { credentials: "same-origin" }).catch(() => null);
    if (answer?.ok) {
      const piece = new DOMParser().parseFromString(await answer.text(), "text/html"); // escaped by the server
      sentinel.replaceWith(...piece.body.children);
      watch();
    } else toast("more clusters could not be fetched: try again", { error: true });
    loading = false;
  };
  const seen = new IntersectionObserver((entries) => { for (const each of entries) if (each.isIntersecting) { seen.unobserve(each.target); more(each.target); } }, { rootMargin: "600px" });
  const watch = () => { const sentinel = grid.querySelector(".sentinel"); if (sentinel) seen.observe(sentinel); };
  grid.addEventListener("click", (event) => { const button = event.target.closest("[data-more-clusters]"); if (button) more(button.closest(".sentinel")); });
  watch();
}
if (page) page.dataset.ready = "1";
