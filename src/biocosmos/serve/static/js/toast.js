// Short messages at the corner of the page, read out by screen readers.

/** Show `text` for a while; errors stay longer. `action`: {label, run} is a button beside it, until another message has one of that label. */
export function toast(text, { error = false, action = null, seconds = error ? 12 : 5 } = {}) {
  const box = document.getElementById("toasts");
  const item = document.createElement("div");
  item.className = error ? "toast error" : "toast";
  item.dataset.test = error ? "toast-error" : "toast";
  const words = document.createElement("span");
  words.textContent = text;
  item.append(words);
  if (action) {
    for (const other of box.querySelectorAll("button")) if (other.textContent === action.label) other.remove(); // "Undo" is of the last act alone
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = action.label;
    button.addEventListener("click", () => { item.remove(); action.run(); });
    item.append(button);
  }
  box.append(item);
  while (box.children.length > 4) box.firstElementChild.remove();
  setTimeout(() => item.remove(), seconds * 1000);
  return item;
}
