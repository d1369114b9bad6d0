// @ts-check
// At the side of review: what each queue has left, who named how much, your last acts, and labels for whoever may take them over.
import { getJSON, postJSON } from "./api.js";
import { toast } from "./toast.js";

const PAUSE = 1500; // milliseconds between two looks at the acts
const el = (id) => document.getElementById(id);
const number = (count) => Number(count).toLocaleString("en");

/** @param {HTMLElement} root @param {import("./review_queue.js").Queue} queue */
export function side(root, queue) {
  const me = document.body.dataset.user;
  let waiting = 0;

  function cell(text, plain = false) {
    const made = document.createElement("td");
    if (!plain) made.className = "number";
    made.textContent = text;
    return made;
  }

  async function tallies() {
    const { tallies: all } = await getJSON("/api/tallies", { quiet: true }).catch(() => ({ tallies: null }));
    if (!all) return;
    if (!all.some((each) => each.by === me)) all.push({ by: me, named: 0, undone: 0, day: 0, rate: 0 });
    el("tallies")?.replaceChildren(...all.map((each) => {
      const row = document.createElement("tr");
      if (each.by === me) { row.className = "me"; row.dataset.test = "my-tally"; }
      row.append(cell(each.by, true), cell(number(each.named)), cell(number(each.undone)), cell(number(each.day)), cell(number(each.rate)));
      return row;
    }));
  }

  async function acts() {
    const { acts: mine } = await getJSON("/api/acts?mine=true&count=12", { quiet: true }).catch(() => ({ acts: null }));
    if (!mine) return;
    el("acts")?.replaceChildren(...mine.filter((each) => each.status !== "withdrawn").map((each) => {
      const item = document.createElement("li"), when = document.createElement("time");
      when.dateTime = each.at;
      when.textContent = new Date(each.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
      item.append(when, ` ${each.says}`);
      if (!each.standing) { item.className = "gone"; item.title = "taken back"; }
      return item;
    }));
  }

  async function counts() {
    const { counts: left } = await getJSON(queue.address("/api/queue/counts"), { quiet: true }).catch(() => ({ counts: {} }));
    for (const [kind, count] of Object.entries(left)) {
      const place = document.querySelector(`[data-count="${kind}"]`);
      if (place) place.textContent = number(count);
    }
  }

  function look() {
    if (waiting) return;
    waiting = window.setTimeout(() => { waiting = 0; tallies(); acts(); }, PAUSE);
  }

  document.addEventListener("tally", look);
  document.addEventListener("labelled", look);
  document.addEventListener("undone", look);
  tallies();
  acts();
  counts();
  if (el("take-over")) takeOver();
}

function takeOver() {
  const told = /** @type {HTMLElement} */ (el("take-over-told"));
  const line = (text) => { const made = document.createElement("p"); made.textContent = text; return made; };
  const button = (text, test, run) => {
    const made = document.createElement("button");
    Object.assign(made, { type: "button", textContent: text });
    made.dataset.test = test;
    made.addEventListener("click", async () => { made.disabled = true; await run().catch(() => null); made.disabled = false; });
    return made;
  };
  const left = (done) => done.left.map((each) => line(`${number(each.count)} left: ${each.reason}`));

  async function change() {
    const done = await postJSON("/api/labels/take-over", { dry_run: false });
    const lines = [line(`${number(done.specimens)} specimens got their labels${done.number ? `: change ${done.number}` : ""}.`), ...left(done)];
    if (done.number) {
      lines.push(button("Undo this change", "take-over-undo", async () => {
        const back = await postJSON(`/api/labels/take-over/${done.number}/undo`, {});
        told.replaceChildren(line(`${number(back.specimens)} specimens have their labels of before.`));
      }));
    }
    told.replaceChildren(...lines);
    toast(`${number(done.specimens)} labels taken over`);
  }

  el("take-over-look")?.addEventListener("click", async () => {
    told.replaceChildren(line("Looking …"));
    const dry = await postJSON("/api/labels/take-over", { dry_run: true }).catch(() => null);
    if (!dry) { told.replaceChildren(); return; }
    const lines = [line(`${number(dry.specimens)} specimens would change, ${number(dry.unchanged)} cells are so already.`), ...left(dry)];
    if (dry.specimens) lines.push(button(`Take over ${number(dry.specimens)} as labels`, "take-over-do", change));
    told.replaceChildren(...lines);
  });
}
