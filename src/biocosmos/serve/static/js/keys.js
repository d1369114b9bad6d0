// Keys of a page: each is registered once with what it does, and "?" shows them all.

const keys = new Map();

const typing = (target) => target instanceof HTMLElement
  && (target.isContentEditable || target.matches("textarea, select, input:not([type=checkbox]):not([type=radio]):not([type=range]):not([type=button])"));

/** `key`: as KeyboardEvent.key, "shift+ArrowRight" with shift, "ctrl+a" with Ctrl or Cmd. run(event) may return false: not used. */
export function onKey(key, says, run) {
  keys.set(key, { says, run });
}

function named(event) {
  const plain = event.key.length === 1 ? event.key : event.key;
  const ctrl = event.ctrlKey || event.metaKey ? "ctrl+" : "";
  const shift = event.shiftKey && plain.length > 1 ? "shift+" : "";
  return ctrl + shift + plain;
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing || event.altKey || typing(event.target)) return;
  if (document.querySelector("dialog[open]")) return;
  const found = keys.get(named(event));
  if (event.repeat && found && !event.key.startsWith("Arrow")) { event.preventDefault(); return; } // held down: nobody saw what came between
  if (found && found.run(event) !== false) event.preventDefault();
});

/** For what acts on a whole page that was looked at: the second click of a double click is not for the page that came after the first. */
export const seen = (run) => (event) => { if (event.detail < 2) run(event); };

/** Show the keys of the page in a dialog. */
export function showKeys() {
  const dialog = document.createElement("dialog");
  dialog.dataset.test = "keys";
  dialog.setAttribute("aria-label", "Keys of this page");
  const title = document.createElement("h2");
  title.textContent = "Keys of this page";
  const table = document.createElement("table");
  for (const [key, { says }] of keys) {
    if (!says) continue;
    const row = table.insertRow();
    const kbd = document.createElement("kbd");
    kbd.textContent = key.replace("Arrow", "").replace(" ", "space").replace("ctrl+", "Ctrl ").replace("shift+", "Shift ");
    row.insertCell().append(kbd);
    row.insertCell().textContent = says;
  }
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "Close";
  close.addEventListener("click", () => dialog.close());
  dialog.append(title, table, close);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

onKey("?", "show the keys", () => showKeys());
