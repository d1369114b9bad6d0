// Files for a form: chosen, dropped or pasted, until it is sent.

/**
 * Collects files for `form` from its file input, from what is dropped on it and what is pasted on the page.
 * @param {HTMLFormElement} form
 * @param {{most: number, changed?: () => void}} how most: files; changed: is called whenever there are others
 */
export function filesOf(form, { most, changed = () => {} }) {
  /** @type {File[]} */
  let files = [];
  const input = form.querySelector("input[type=file]");
  const zone = form.querySelector(".drop");
  const list = form.querySelector("#chosen");

  const draw = () => {
    const chips = files.slice(0, 20).map((file, place) => {
      const chip = document.createElement("li");
      chip.className = "chip";
      const name = document.createElement("span");
      name.textContent = file.name || "pasted image";
      const remove = document.createElement("button");
      remove.type = "button";
      remove.className = "quiet";
      remove.textContent = "×";
      remove.setAttribute("aria-label", `Do not send ${file.name || "the pasted image"}`);
      remove.addEventListener("click", () => { files.splice(place, 1); draw(); });
      chip.append(name, remove);
      return chip;
    });
    if (files.length > 20) {
      const more = document.createElement("li");
      more.textContent = `and ${(files.length - 20).toLocaleString("en")} more`;
      chips.push(more);
    }
    list.replaceChildren(...chips);
    changed();
  };
  const add = (more) => {
    files.push(...more);
    if (files.length > most) files.length = most;
    draw();
  };

  if (input) {
    input.addEventListener("change", () => { add([...input.files]); input.value = ""; });
    for (const name of ["dragenter", "dragover"]) {
      zone.addEventListener(name, (event) => { event.preventDefault(); zone.classList.add("over"); });
    }
    for (const name of ["dragleave", "drop"]) zone.addEventListener(name, () => zone.classList.remove("over"));
    // a file that is dropped beside the frame would replace the page
    window.addEventListener("dragover", (event) => event.preventDefault());
    window.addEventListener("drop", (event) => { event.preventDefault(); add([...(event.dataTransfer?.files ?? [])]); });
    document.addEventListener("paste", (event) => {
      const pasted = [...(event.clipboardData?.files ?? [])];
      if (pasted.length) { event.preventDefault(); add(pasted); }
    });
  }
  return {
    get files() { return files; },
    clear() { files = []; draw(); },
    /** The form with these files in place of the input's. */
    data() {
      const data = new FormData(form);
      data.delete("images");
      files.forEach((file, place) => data.append("images", file, file.name || `pasted-${place + 1}.png`));
      return data;
    },
  };
}

/** Ask for a piece of a page; what is refused comes as {error, status}. Waits while the server is getting ready. */
export async function piece(path, options = {}, waiting = () => {}) {
  for (;;) {
    const response = await fetch(path, { credentials: "same-origin", ...options }).catch(() => null);
    if (!response) return { error: "the server does not answer: is it still running?", status: 0 };
    const text = await response.text();
    if (response.ok) return { html: text };
    let line = `the server answered ${response.status}`;
    try { line = JSON.parse(text).error ?? line; } catch { /* a page */ }
    if (response.status === 401) location.assign("/login?next=" + encodeURIComponent(location.pathname + location.search));
    if (response.status !== 503) return { error: line, status: response.status };
    waiting(line);
    await new Promise((resolve) => setTimeout(resolve, 1500));
  }
}

/** Put a piece of a page that our own templates made, in which all data is escaped, into `place`. */
export function show(place, html) {
  const made = new DOMParser().parseFromString(html, "text/html");
  place.replaceChildren(...document.importNode(made.body, true).childNodes);
}
