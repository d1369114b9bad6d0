// A taxon that is offered in a list: its name, rank and path, and how many specimens it has.

/** <li role="option">. id: of the element; path: names from the root, joined; title: what stands for the name. */
export function taxonOption({ taxon, rank, path, specimens, title = taxon }, id, test) {
  const item = document.createElement("li");
  item.setAttribute("role", "option");
  item.id = id;
  item.dataset.test = test;
  const words = document.createElement("span");
  words.textContent = title;
  const below = document.createElement("span");
  below.className = "path";
  below.textContent = [rank, path].filter(Boolean).join(" · ");
  words.append(below);
  const count = document.createElement("span");
  count.className = "faint";
  count.textContent = specimens == null ? "" : specimens.toLocaleString("en");
  item.append(words, count);
  return item;
}
