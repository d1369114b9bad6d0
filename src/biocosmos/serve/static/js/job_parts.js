// Making elements; text only ever becomes text.

/** An element with a class, a text and a mark for tests. */
export function element(tag, { className = "", text = "", test = "" } = {}) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  if (test) made.dataset.test = test;
  return made;
}

/** A table from heads and rows of texts or elements; `number`: columns that are numbers. */
export function table(heads, rows, { number = [], test = "" } = {}) {
  const made = element("table", { test });
  const line = (cells, tag) => {
    const row = element("tr");
    cells.forEach((cell, place) => {
      const one = element(tag, { className: number.includes(place) ? "number" : "" });
      if (tag === "th") one.scope = "col";
      one.append(cell instanceof Node ? cell : document.createTextNode(cell ?? ""));
      row.append(one);
    });
    return row;
  };
  const head = element("thead");
  head.append(line(heads, "th"));
  const body = element("tbody");
  body.append(...rows.map((row) => line(row, "td")));
  made.append(head, body);
  return made;
}
