// Asking the server; what it refuses is shown as it says it.
import { toast } from "./toast.js";

const MOST_KEPT = 60_000; // bytes, of up to 3 a letter

/** An answer of the server that is no success; `message` is its one line, `status` its number (0: no answer at all). */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function answer(response) {
  const text = await response.text();
  let body = null;
  try { body = text ? JSON.parse(text) : null; } catch { /* no JSON: a proxy's page */ }
  if (response.ok) return body;
  if (response.status === 401) location.assign("/login?next=" + encodeURIComponent(location.pathname + location.search));
  throw new Refused(body?.error ?? `the server answered ${response.status}`, response.status);
}

async function ask(path, options, quiet) {
  try {
    let response;
    try {
      response = await fetch(path, { credentials: "same-origin", ...options });
    } catch (error) {
      if (error?.name === "AbortError") throw error;
      throw new Refused("the server does not answer: is it still running?", 0);
    }
    return await answer(response);
  } catch (error) {
    if (!quiet && error instanceof Refused) toast(error.message, { error: true });
    throw error;
  }
}

/** GET JSON. `quiet`: the caller shows what is refused. */
export const getJSON = (path, { quiet = false, signal } = {}) => ask(path, { headers: { Accept: "application/json" }, signal }, quiet);

/** POST JSON (or another method), and get JSON. */
export const postJSON = (path, body, { quiet = false, method = "POST", signal } = {}) =>
  ask(path, { method, signal, headers: { "Content-Type": "application/json", Accept: "application/json" }, ...kept(JSON.stringify(body)) }, quiet);

/** A body, which goes on being sent when the page is left, as far as browsers allow that (64 kB). */
const kept = (body) => ({ body, keepalive: body.length < MOST_KEPT / 3 });

/** POST a FormData (files), and get JSON. */
export const postForm = (path, form, { quiet = false, signal } = {}) => ask(path, { method: "POST", signal, headers: { Accept: "application/json" }, body: form }, quiet);
