// Selecting specimens in a grid of tiles: by click, shift-range, arrows, space, Ctrl-A. The selection lives in the browser until
// it is posted once. Tiles may come and go (endless scroll): a selected id stays selected; `between(from, to)`, if it is set, says
// which ids lie between two of which one is out of sight.

export class Selection extends EventTarget {
  /** grid: <ul data-grid> with tiles of parts/tile.html.j2. Sends "selection" when it changes. */
  constructor(grid) {
    super();
    this.grid = grid;
    this.chosen = new Set();
    this.anchor = null;
    grid.addEventListener("click", (event) => this.#clicked(event));
    grid.addEventListener("keydown", (event) => this.#key(event));
    new MutationObserver(() => this.#mark()).observe(grid, { childList: true, subtree: true });
    this.#mark();
  }

  /** Tiles in the order in which they stand. */
  tiles() { return [...this.grid.querySelectorAll(".tile")]; }

  /** Ids that are selected, in the order in which they were. */
  ids() { return [...this.chosen]; }

  /** Id of the tile that has the focus, else null. */
  current() { return document.activeElement?.closest?.(".tile")?.dataset.id ?? null; }

  /** What an act is about: the selection, or else the tile that has the focus. */
  target() { return this.chosen.size ? this.ids() : this.current() ? [this.current()] : []; }

  set(ids, on = true) {
    for (const id of ids) if (on) this.chosen.add(id); else this.chosen.delete(id);
    this.#changed();
  }

  toggle(id) { this.set([id], !this.chosen.has(id)); }

  clear() { this.chosen.clear(); this.anchor = null; this.#changed(); }

  all() { this.set(this.tiles().map((tile) => tile.dataset.id)); }

  /** Take tiles away, as after they were named; the focus goes to the one that comes next. */
  drop(ids) {
    const gone = new Set(ids);
    const tiles = this.tiles();
    const focused = document.activeElement?.closest?.(".tile");
    const after = focused ? tiles.slice(tiles.indexOf(focused)).find((tile) => !gone.has(tile.dataset.id)) : null;
    for (const tile of tiles) if (gone.has(tile.dataset.id)) tile.remove();
    for (const id of ids) this.chosen.delete(id);
    this.#changed();
    if (focused && gone.has(focused.dataset.id)) (after ?? this.tiles().at(-1))?.querySelector(".pick")?.focus();
  }

  focus(tile) {
    const pick = tile?.querySelector(".pick");
    if (!pick) return;
    for (const other of this.grid.querySelectorAll(".pick[tabindex='0']")) other.tabIndex = -1;
    pick.tabIndex = 0;
    pick.focus({ preventScroll: true });
    tile.scrollIntoView({ block: "nearest" });
  }

  #clicked(event) {
    const pick = event.target.closest(".pick");
    if (!pick) return; // the label's click comes once more as the checkbox's
    const tile = pick.closest(".tile");
    if (event.shiftKey && this.anchor) this.#range(this.anchor, tile);
    else this.toggle(tile.dataset.id);
    this.anchor = tile.dataset.id;
    this.#only(pick);
  }

  #only(pick) {
    for (const other of this.grid.querySelectorAll(".pick[tabindex='0']")) other.tabIndex = -1;
    pick.tabIndex = 0;
  }

  #range(from, tile) {
    const tiles = this.tiles();
    const start = tiles.findIndex((each) => each.dataset.id === from);
    const stop = tiles.indexOf(tile);
    if (start < 0) return this.between ? this.set(this.between(from, tile.dataset.id)) : this.toggle(tile.dataset.id);
    this.set(tiles.slice(Math.min(start, stop), Math.max(start, stop) + 1).map((each) => each.dataset.id));
  }

  #key(event) {
    const tile = event.target.closest(".tile");
    if (!tile || event.altKey) return;
    const ctrl = event.ctrlKey || event.metaKey;
    if (ctrl && event.key === "a") { this.all(); event.preventDefault(); return; }
    if (event.key === "Enter" && event.target.matches(".pick") && !this.grid.dataset.enter) {
      tile.querySelector(".name")?.click();
      event.preventDefault();
      return;
    }
    const tiles = this.tiles();
    const at = tiles.indexOf(tile);
    const columns = Math.max(1, tiles.filter((each) => each.offsetTop === tiles[0].offsetTop).length);
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: tiles.length - 1 - at };
    if (!(event.key in steps) || ctrl) return;
    const next = tiles[Math.min(Math.max(at + steps[event.key], 0), tiles.length - 1)];
    event.preventDefault();
    if (event.shiftKey) { this.anchor ??= tile.dataset.id; this.#range(this.anchor, next); }
    this.focus(next);
  }

  #mark() {
    const picks = this.grid.querySelectorAll(".pick");
    let reachable = false;
    for (const pick of picks) {
      pick.checked = this.chosen.has(pick.closest(".tile").dataset.id);
      if (pick.tabIndex === 0 && pick.hasAttribute("tabindex")) { if (reachable) pick.tabIndex = -1; reachable = true; } else pick.tabIndex = -1;
    }
    if (!reachable && picks.length) picks[0].tabIndex = 0;
  }

  #changed() {
    this.#mark();
    this.dispatchEvent(new Event("selection"));
    this.grid.dispatchEvent(new CustomEvent("selection", { bubbles: true, detail: { ids: this.ids() } }));
  }
}
