// @ts-check
// Tiles made in the browser, as views/parts/tile.html.j2 makes them on the server. Whatever comes from data is text, never HTML.

const SIGNS = { validated: "✓", dubious: "?", predicted: "≈", unlabelled: "–" };

/** Where the thumbnail of a specimen ({id, hash}) is. */
export function thumb(specimen, size = 128) {
  if (specimen.hash === "none") return "/static/pictures/none.svg";
  const given = new URLSearchParams({ id: specimen.id, size: String(size) });
  if (specimen.hash) given.set("v", specimen.hash);
  return `/image/thumb?${given}`;
}

export function picture(specimen, size = 128) {
  const image = document.createElement("img");
  Object.assign(image, { alt: "", loading: "lazy", decoding: "async", width: size, height: size, src: thumb(specimen, size) });
  return image;
}

export function picker(label) {
  const pick = document.createElement("input");
  pick.type = "checkbox";
  pick.className = "pick";
  pick.dataset.test = "pick";
  pick.setAttribute("aria-label", label);
  return pick;
}

/** A specimen ({id, name, state, hash}) as a tile of a grid. */
export function tileOf(specimen) {
  const tile = document.createElement("li");
  tile.className = "tile";
  tile.dataset.id = specimen.id;
  tile.dataset.test = "tile";
  const label = document.createElement("label");
  label.className = "picture";
  label.append(picker(`Select ${specimen.name ?? "unnamed"}, ${specimen.id}`), picture(specimen));
  const name = document.createElement("a");
  name.className = "name";
  name.dataset.test = "open";
  name.href = `/specimen?${new URLSearchParams({ id: specimen.id })}`;
  name.textContent = specimen.name ?? "unnamed";
  if (!specimen.name) name.classList.add("faint");
  const mark = document.createElement("span");
  mark.className = `mark mark-${specimen.state}`;
  mark.title = specimen.state;
  mark.dataset.test = "state";
  mark.textContent = SIGNS[specimen.state] ?? "";
  tile.append(label, name, mark);
  return tile;
}
