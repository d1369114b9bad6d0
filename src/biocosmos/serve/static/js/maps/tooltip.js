// @ts-check
// What is pointed at: pictures and names beside the pointer, fetched when it rests.
import { getJSON } from "../api.js";

const WAIT = 70, KEPT = 300; // milliseconds the pointer rests; specimens remembered

export class Tooltip {
  /** box: an empty element over the map; address(indices): where /api tells of points. */
  constructor(box, address) {
    Object.assign(this, { box, address, timer: 0, asked: 0, known: new Map() });
  }

  hide() {
    clearTimeout(this.timer);
    this.asked++;
    this.box.hidden = true;
  }

  /** Forget what was fetched: names may have changed. */
  forget() { this.known.clear(); }

  /** Show points beside (px, py); head: a line above them, or null. */
  show(indices, px, py, head = null) {
    clearTimeout(this.timer);
    const mine = ++this.asked, key = indices.join(",");
    const fill = (specimens) => { if (mine === this.asked) this.#fill(specimens, px, py, head); };
    if (this.known.has(key)) { fill(this.known.get(key)); return; }
    this.timer = setTimeout(async () => {
      const answer = await getJSON(this.address(indices), { quiet: true }).catch(() => null);
      if (!answer) return;
      if (this.known.size > KEPT) this.known.clear();
      this.known.set(key, answer.specimens);
      fill(answer.specimens);
    }, WAIT);
  }

  #fill(specimens, px, py, head) {
    const items = specimens.map((specimen) => {
      const item = document.createElement("figure");
      item.dataset.id = specimen.id;
      const picture = document.createElement("img");
      Object.assign(picture, { src: specimen.thumb, alt: "", width: 128, height: 128 });
      const words = document.createElement("figcaption");
      const name = document.createElement(specimen.name ? "b" : "i");
      name.textContent = specimen.name ?? "unnamed";
      const more = document.createElement("span");
      more.className = "faint";
      more.textContent = ` ${specimen.state} · ${specimen.id}`;
      words.append(name, more);
      item.append(picture, words);
      return item;
    });
    if (head) {
      const title = document.createElement("p");
      title.textContent = head;
      items.unshift(title);
    }
    this.box.classList.toggle("many", specimens.length > 1);
    this.box.replaceChildren(...items);
    this.box.hidden = false;
    const { offsetWidth: width, offsetHeight: height, parentElement: map } = this.box;
    const left = px + 16 + width > map.clientWidth ? px - width - 16 : px + 16;
    this.box.style.left = `${Math.max(4, Math.min(left, map.clientWidth - width - 4))}px`;
    this.box.style.top = `${Math.max(4, Math.min(py - height / 2, map.clientHeight - height - 4))}px`;
  }
}
