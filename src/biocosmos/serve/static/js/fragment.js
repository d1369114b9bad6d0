// Pieces of pages that the server renders: its templates escape what comes from data.
import { toast } from "./toast.js";

/** Elements of a piece of HTML; nothing in it runs. */
export const parsed = (html) => new DOMParser().parseFromString(html, "text/html").body;

/** Get a piece of a page: {body, headers}, or null where it was refused or the server does not answer, which is then said. */
export async function piece(path, { signal } = {}) {
  let response, text;
  try {
    response = await fetch(path, { credentials: "same-origin", headers: { Accept: "text/html" }, signal });
    text = await response.text(); // it too ends where the view is another by now
  } catch (error) {
    if (error?.name !== "AbortError") toast("the server does not answer: is it still running?", { error: true });
    return null;
  }
  const body = parsed(text);
  if (response.ok) return { body, headers: response.headers };
  if (response.status === 401) location.assign("/login?next=" + encodeURIComponent(location.pathname + location.search));
  else toast(body.querySelector("[role=alert], [data-test=error], .error, main")?.textContent?.trim() || `the server answered ${response.status}`, { error: true });
  return null;
}
