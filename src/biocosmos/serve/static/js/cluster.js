// @ts-check
// One cluster: untick strangers, name the rest, grow, split, merge, go on; keys for all of it. Pages come as JSON, so that nothing is loaded twice.
import { getJSON, postJSON } from "./api.js";
import { onKey, seen } from "./keys.js";
import { undo } from "./labels.js";
import { recentButtons, recentKeys, remember } from "./recent.js";
import { Selection } from "./selection.js";
import { pickTaxon } from "./taxon_picker.js";
import { picture, tileOf } from "./tiles.js";
import { toast } from "./toast.js";

const page = document.querySelector("[data-cluster]");
const byId = (id) => document.getElementById(id);
const grid = byId("members");
const selection = new Selection(grid);
const count = (number) => Number(number).toLocaleString("en");
const told = { sort: page.dataset.sort, reverse: page.dataset.reverse };
const visited = []; // names of clusters that were left, the last one last: where undo leads

/** What is known of the cluster that is open. growing: the ids of the page that is proposed. taxon: by which it was just named. */
const now = {
  name: page.dataset.cluster, order: page.dataset.order, next: Number(page.dataset.next) || null,
  before: page.dataset.before || null, after: page.dataset.after || null, size: 0, strangers: 0, guess: page.dataset.guess || null,
  growing: null, taxon: null, busy: false,
};

const address = (name, more = {}) => `/api/clusters/one?${new URLSearchParams({ name, order: now.order, ...told, ...more })}`;

// ---------------------------------------------------------------- showing

function facts(found) {
  const { cluster } = found;
  Object.assign(now, { size: cluster.size, guess: cluster.guess });
  const words = [`density ${cluster.density === null ? "–" : cluster.density.toFixed(2)}`];
  if (cluster.guess) words.unshift(`perhaps ${cluster.guess}${cluster.sure === null ? "" : ` (${Math.round(100 * cluster.sure)} % ${cluster.named ? `of the ${count(cluster.named)} named` : "by the machine"})`}`);
  if (cluster.named) words.push(`${count(cluster.named)} of it have a name`);
  if (cluster.looked) words.push(`${count(cluster.looked)} of ${count(cluster.size)} looked at`);
  if (found.strangers) words.push(`${count(found.strangers)} strangers left out`);
  byId("facts").textContent = words.join(" · ");
  byId("accept").hidden = !cluster.guess || !cluster.size;
  byId("accept").replaceChildren(`Name as ${cluster.guess ?? ""} `, key("y"));
  title();
}

function title() {
  const odd = selection.ids().length;
  const what = now.growing ? `Do these ${count(now.growing.length)} belong?` : `${count(now.size)} specimens${odd ? `, ${count(now.size - odd)} without those clicked` : ""}`;
  if (byId("title").textContent !== what) byId("title").textContent = what;
}

function key(text) { const kbd = document.createElement("kbd"); kbd.textContent = text; return kbd; }

function progress(found) {
  if (!found) return;
  byId("share").value = found.share;
  byId("progress-words").textContent = `${count(found.named)} of ${count(found.total)} have a name (${(100 * found.share).toFixed(1)} %) · you: ${count(found.an_hour)} an hour`;
}

function fill(specimens, add = false) {
  if (!add) { selection.clear(); grid.replaceChildren(); }
  grid.append(...specimens.map(tileOf));
  byId("nothing").hidden = grid.children.length > 0;
}

function mode(growing) {
  now.growing = growing;
  page.classList.toggle("is-growing", growing !== null);
  byId("acts").hidden = growing !== null;
  byId("growing").hidden = growing === null;
  byId("hint").textContent = growing === null
    ? "Click those that do not belong; name the rest in one act."
    : "The nearest that have no name. Click those that do not belong; all others join.";
  title();
}

function draw(found, add = false) {
  Object.assign(now, { name: found.cluster.name, next: found.next, before: found.before, after: found.after, strangers: found.strangers, order: found.order });
  byId("place").textContent = found.place ? `${count(found.place)} of ${count(found.of)}` : `${count(found.of)} left`;
  byId("before").disabled = !now.before;
  byId("after").disabled = !now.after;
  byId("turn").replaceChildren(now.order === "centre" ? "Border first " : "Centre first ", key("b"));
  byId("more").hidden = !now.next;
  mode(null);
  fill(found.members, add);
  facts(found);
  progress(found.progress);
}

async function open(name, { back = false, focus = true } = {}) {
  if (!name) return;
  const found = await getJSON(address(name)).catch(() => null);
  if (!found) return;
  if (!back && name !== now.name) visited.push(now.name);
  if (name !== now.name) now.taxon = null;
  byId("alikes").hidden = true;
  byId("alike").setAttribute("aria-expanded", "false");
  draw(found);
  page.dataset.cluster = name;
  history.replaceState(null, "", `/clusters/one?${new URLSearchParams({ name, ...told })}`);
  if (focus) { byId("title").focus({ preventScroll: true }); scrollTo({ top: 0 }); }
}

async function more() {
  if (!now.next || now.growing) return;
  const found = await getJSON(address(now.name, { start: String(now.next) })).catch(() => null);
  if (!found) return;
  now.next = found.next;
  byId("more").hidden = !now.next;
  fill(found.members, true);
}

const shown = () => selection.tiles().map((tile) => tile.dataset.id);

/** One act at a time: a key that is held down does nothing twice. */
const once = (run) => async (...given) => {
  if (now.busy) return;
  now.busy = true;
  page.setAttribute("aria-busy", "true");
  try { await run(...given); } catch { /* shown as a toast */ } finally { now.busy = false; page.removeAttribute("aria-busy"); }
};

// ---------------------------------------------------------------- acts

const nameAs = once(async (taxon) => {
  if (!taxon) return;
  if (now.growing) { toast("say first which of these belong"); return; }
  const done = await postJSON("/api/clusters/name", { cluster: now.name, taxon: taxon.taxon, rank: taxon.rank ?? null, shown: shown(), strangers: selection.ids() });
  remember(taxon);
  toast(`${count(done.count)} named ${done.taxon}`, { action: { label: "Undo", run: () => undo() } });
  if (done.refused.length) toast(`${done.refused.length} were refused: ${done.refused[0].reason}`, { error: true });
  document.dispatchEvent(new CustomEvent("labelled", { detail: { ids: [], taxon: done.taxon, rank: done.rank, status: "validated", done } }));
  byId("said").textContent = `${done.count} named ${done.taxon}`;
  const left = now.name;
  if (byId("stay").checked || !now.after) { await open(left); now.taxon = taxon; } else await open(now.after);
});

async function pick() {
  const taxon = await pickTaxon({ title: `Name ${count(now.size - selection.ids().length)} specimens` });
  if (taxon) await nameAs(taxon);
}

const look = once(async () => {
  await postJSON("/api/clusters/look", { cluster: now.name, shown: shown(), strangers: selection.ids() });
  await open(now.name, { focus: false });
});

const split = once(async () => {
  const done = await postJSON("/api/clusters/split", { cluster: now.name });
  toast(`split into ${done.clusters.length}`, { action: { label: "Undo", run: () => undo() } });
  await open(done.clusters[0].name);
});

const aside = once(async () => {
  await postJSON("/api/clusters/dissolve", { cluster: now.name });
  toast("put aside", { action: { label: "Undo", run: () => undo() } });
  if (now.after ?? now.before) await open(now.after ?? now.before); else location.assign("/clusters");
});

const mergeWith = once(async (name) => {
  const done = await postJSON("/api/clusters/merge", { clusters: [now.name, name] });
  toast(`merged: ${count(done.cluster.size)} specimens`, { action: { label: "Undo", run: () => undo() } });
  await open(now.name);
});

async function alike() {
  const list = byId("alikes");
  const show = list.hidden;
  byId("alike").setAttribute("aria-expanded", String(show));
  list.hidden = !show;
  if (!show) return;
  const found = await getJSON(`/api/clusters/alike?${new URLSearchParams({ name: now.name })}`).catch(() => ({ clusters: [] }));
  list.replaceChildren(...found.clusters.map((cluster) => {
    const item = document.createElement("li");
    item.className = "tile cluster";
    item.dataset.test = "alike-cluster";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "second";
    button.textContent = `Merge ${count(cluster.size)} · ${cluster.guess ?? "not named yet"}`;
    button.addEventListener("click", () => mergeWith(cluster.name));
    const four = document.createElement("span");
    four.className = "picture four";
    four.append(...cluster.shown.map((specimen) => picture(specimen)));
    item.append(four, button);
    return item;
  }));
  if (!found.clusters.length) { list.hidden = true; toast("there is no other cluster"); } else list.querySelector("button").focus();
}

// ---------------------------------------------------------------- growing

function proposed(found) {
  if (found.done) {
    toast(found.joined ? `the border is found: ${count(found.joined)} more joined between pages that belong` : "the border is found");
    return false;
  }
  mode(found.specimens.map((each) => each.id));
  byId("reach").textContent = `look ${found.number}: if they belong, the ${count(found.reach)} nearest are in`;
  byId("more").hidden = true;
  fill(found.specimens);
  title();
  scrollTo({ top: 0 });
  return true;
}

/** The border is found: what came is named as the rest was, or waits for a name. */
async function ended() {
  const taxon = now.taxon;
  await open(now.name, { back: true });
  now.taxon = taxon;
  if (taxon && now.size) { now.busy = false; await nameAs(taxon); }
}

const grow = once(async () => {
  if (selection.ids().length) await postJSON("/api/clusters/look", { cluster: now.name, shown: shown(), strangers: selection.ids() });
  if (!proposed(await postJSON("/api/clusters/grow", { cluster: now.name }))) await ended();
});

const accept = once(async () => {
  const found = await postJSON("/api/clusters/grow", { cluster: now.name, shown: now.growing, strangers: selection.ids() });
  if (!proposed(found)) await ended();
});

const stop = once(async () => {
  await postJSON("/api/clusters/grow", { cluster: now.name, stop: true });
  await ended();
});

// ---------------------------------------------------------------- controls and keys

const guessed = () => { if (now.guess && !now.growing) nameAs({ taxon: now.guess, rank: null }); };
const turn = () => { now.order = now.order === "centre" ? "border" : "centre"; open(now.name, { focus: false }); };
const invert = () => { const odd = new Set(selection.ids()); const all = shown(); selection.clear(); selection.set(all.filter((id) => !odd.has(id))); };

const controls = { name: pick, accept: guessed, grow, turn, look, invert, split, alike, dissolve: aside, undo, yes: accept, stop, before: () => open(now.before), after: () => open(now.after), "show-more": more };
const looking = new Set([undo, turn, invert, more, controls.before, controls.after]);
for (const [id, run] of Object.entries(controls)) byId(id).addEventListener("click", looking.has(run) ? () => run() : seen(() => run()));

const plain = (run) => () => { if (now.growing) return false; run(); };
onKey("/", "name the rest by searching a taxon", plain(pick));
recentKeys("name the rest by a taxon used last", (taxon) => { if (now.growing) return false; nameAs(taxon); });
onKey("y", "name the rest as is guessed", plain(guessed));
onKey("g", "grow by the nearest without a name", plain(grow));
onKey("Enter", "these belong, but for those clicked (when it grows)", () => { if (!now.growing) return false; accept(); });
onKey("Escape", "stop growing; else clear what was clicked", () => { if (now.growing) stop(); else selection.clear(); });
onKey("b", "border first, or centre first", plain(turn));
onKey("l", "only leave out those clicked", plain(look));
onKey("i", "invert what is clicked", () => { invert(); });
onKey("s", "split", plain(split));
onKey("m", "merge with one that is alike", plain(alike));
onKey("x", "put aside", plain(aside));
onKey("n", "next cluster", plain(() => open(now.after)));
onKey("p", "previous cluster", plain(() => open(now.before)));
onKey("z", "undo the last act, any number of steps", () => { undo(); });
onKey(" ", "click or leave out (on a tile)", () => false);
onKey("ctrl+a", "click all that are shown", () => selection.all());

selection.addEventListener("selection", title);
document.addEventListener("undone", async (event) => {
  const about = event.detail?.clusters ?? [];
  const to = about.includes(now.name) || !visited.length ? now.name : visited.pop();
  await open(to, { back: true });
  if (!grid.children.length && visited.length && !about.length) await open(visited.pop(), { back: true });
});

const stay = byId("stay");
try { stay.checked = localStorage.getItem("cluster-stay") === "1"; } catch { /* a browser that keeps nothing */ }
stay.addEventListener("change", () => { try { localStorage.setItem("cluster-stay", stay.checked ? "1" : "0"); } catch { /* the same */ } });

recentButtons(byId("recent"), (taxon, event) => seen(() => nameAs(taxon))(event));
open(now.name, { back: true, focus: false }).then(() => { page.dataset.ready = "1"; });
