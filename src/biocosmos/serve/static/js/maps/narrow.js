// @ts-check
// The tree and the facets of Explore beside a map: fetched when they are opened, and kept to the view.
// Their modules look for their elements when they are loaded: only where there are these.

/** root: of parts/maps.html.j2, narrow; view: a SharedView. */
export async function narrow(root, view) {
  const [{ showFacets }, { showTree }] = await Promise.all([import("../explore_facets.js"), import("../explore_tree.js")]);
  const parts = [["taxa", showTree], ["facets", showFacets]].map(([name, show]) => ({ box: root.querySelector(`[data-part="${name}"]`), show, shown: null }));
  const refresh = () => {
    for (const part of parts) if (part.box.open && part.shown !== view.query) { part.shown = view.query; part.show(view.query); }
  };
  for (const { box } of parts) box.addEventListener("toggle", refresh);
  view.addEventListener("view", refresh);
  document.addEventListener("narrow", (event) => view.set(event.detail.query));
  refresh();
  root.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    view.set(new URL(link.href).search.slice(1));
  });
}
