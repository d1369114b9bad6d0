// @ts-check
// The view that all maps of a page show: it is what stands behind the question mark of the address, and the pages Explore,
// Likeness and Places are led to with it.

const LINKED = ["explore", "likeness", "places"];

/** Sends "view" when the view has changed. */
export class SharedView extends EventTarget {
  /** query: of the view; own: parameters of the page itself, as {by}. */
  constructor(query, own = {}) {
    super();
    this.query = query;
    this.own = own;
    this.#lead();
    addEventListener("popstate", (event) => {
      if (typeof event.state?.view !== "string") return;
      this.query = event.state.view;
      this.#lead();
      this.dispatchEvent(new Event("view"));
    });
    history.replaceState({ view: query }, "", this.address());
  }

  /** Another view; one step back leads to the one before. */
  set(query) {
    if (query === this.query) return;
    this.query = query;
    history.pushState({ view: query }, "", this.address());
    this.#lead();
    this.dispatchEvent(new Event("view"));
  }

  /** A parameter of the page. */
  put(name, value) {
    this.own[name] = value;
    history.replaceState({ view: this.query }, "", this.address());
  }

  /** `path` of this page or of the API, with the view and what else. */
  at(path, more = {}) {
    const extra = new URLSearchParams(Object.entries(more).filter(([, value]) => value != null && value !== "")).toString();
    const query = [this.query, extra].filter(Boolean).join("&");
    return query ? `${path}?${query}` : path;
  }

  address() { return this.at(location.pathname, this.own); }

  #lead() {
    for (const name of LINKED) {
      const link = document.querySelector(`[data-test="nav-${name}"]`);
      if (link) link.href = this.at(`/${name}`);
    }
  }
}
